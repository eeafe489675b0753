"""What each action takes: parameters (a URL's, or the keys of a WebSocket body) and documents.

Types and shapes are checked here, ranges in `service`, which knows the limits.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Id = Annotated[str, Meta(max_length=256, pattern="^[\x21-\x7e]+$")]
"""An id as it may come from us; whether there is such a thing is another question."""
Text = Annotated[str, Meta(max_length=256, pattern="^[^\x00-\x1f]*$")]
Label = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[^\x00-\x1f]*$")]
AttributeName = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[^\x00-\x1f]*$")]
Position = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class NoParameters(Struct, frozen=True):
    """The action takes none."""


class TopicParameters(Struct, frozen=True, kw_only=True):
    """The topic, by its name or by its compatibility name."""

    topic_name: str = ""
    queue_name: str = ""

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self.topic_name or self.queue_name


class TopicList(Struct, frozen=True, kw_only=True):
    marker: Text = ""
    limit: int | None = None
    detailed: bool = False
    with_count: bool = False
    name: Text = ""
    filters: dict[str, str] = {}
    """Metadata keys and the values they must have: the parameters that mean nothing else."""


class MessageList(TopicParameters, frozen=True, kw_only=True):
    marker: Position = 0
    limit: int | None = None
    echo: bool = False
    include_claimed: bool = False
    include_delayed: bool = False
    wait: int = 0


class MessageIds(TopicParameters, frozen=True, kw_only=True):
    ids: list[Id] | None = None
    message_ids: list[Id] | None = None
    pop: int | None = None

    @property
    def chosen(self) -> list[str] | None:
        """The ids, under whichever name they came."""
        return self.message_ids if self.ids is None else self.ids


class OneMessage(TopicParameters, frozen=True, kw_only=True):
    message_id: Id
    claim_id: Id | None = None


class ClaimLimit(TopicParameters, frozen=True, kw_only=True):
    limit: int | None = None
    wait: int = 0


class OneClaim(TopicParameters, frozen=True, kw_only=True):
    claim_id: Id


class DraftDocument(Struct, frozen=True):
    """A message to post; its body stays the text that it is."""

    body: Raw
    ttl: int | None = None
    delay: int | None = None
    group: Label | None = None
    deduplication_id: Label | None = None
    priority: int = 0
    attributes: Annotated[dict[AttributeName, str], Meta(max_length=64)] | None = None


class PostDocument(Struct, frozen=True):
    messages: list[DraftDocument]


class ClaimDocument(Struct, frozen=True):
    ttl: int | None = None
    grace: int | None = None


class PurgeDocument(Struct, frozen=True):
    resource_types: (
        Annotated[list[Literal["messages", "subscriptions"]], Meta(min_length=1)] | UnsetType
    ) = UNSET


class ShareDocument(Struct, frozen=True):
    paths: Annotated[
        tuple[Literal["messages", "subscriptions", "claims"], ...], Meta(min_length=1, max_length=3)
    ] = ("messages",)
    methods: Annotated[
        tuple[Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"], ...],
        Meta(min_length=1, max_length=7),
    ] = ("GET",)
    expires: datetime | None = None
