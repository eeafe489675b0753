"""A topic, its name, and its metadata: which keys are reserved and what they may hold."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from kilo_messaging.domain.retry_policy import RetryPolicy
from kilo_messaging.errors import (
    MetadataInvalid,
    NameInvalid,
    OrderingFixed,
    PatchConflict,
    PatchInvalid,
)

NAME_LENGTH = 64
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{NAME_LENGTH}}}")
_PATCH_PATH = "/metadata/"

TTL = "_default_message_ttl"
POST_SIZE = "_max_messages_post_size"
DELAY = "_default_message_delay"
CLAIM_COUNT = "_max_claim_count"
DEAD_LETTERS = "_dead_letter_queue"
DEAD_LETTER_TTL = "_dead_letter_queue_messages_ttl"
ORDERING = "_ordering"
PRIORITIES = "_priorities"
RETRY_POLICY = "_retry_policy"
ACCEPT_FROM = "_accept_from"
FLAVOR = "_flavor"
ENCRYPTION = "_enable_encrypt_messages"
ENCRYPTION_TOO = "_encryption"
"""Another name for the same."""

Metadata = Mapping[str, Any]


class Ordering(Enum):
    """What a topic promises about the order in which its messages are handed out."""

    NONE = "none"
    """Oldest first; what waits behind a claimed message is handed out."""
    FIFO = "fifo"
    """Nothing is handed out while an earlier message is claimed or held back."""
    FIFO_GROUP = "fifo-group"
    """The same within each group of messages; groups do not wait for each other."""


class TopicKey(msgspec.Struct, frozen=True):
    """What a client knows a topic by."""

    project_id: str
    name: str


class TopicBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the reserved keys may hold, and what counts where they are not set."""

    min_ttl: int
    max_ttl: int
    default_ttl: int
    max_delay: int
    post: int
    can_encrypt: bool = False
    """Whether there is a key to encrypt bodies with."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it is kept."""

    key: TopicKey
    metadata: Metadata
    created_at: datetime

    @property
    def ordering(self) -> Ordering:
        """What it promises about order."""
        return Ordering(self.metadata.get(ORDERING, Ordering.NONE.value))

    def lane(self, group: str | None) -> str | None:
        """The lane of a message of `group`: messages of one lane are handed out in order.

        None: the message waits for no other. Messages without a group are in order together.
        """
        if ORDERING not in self.metadata:  # asked for each message
            return None
        match self.ordering:
            case Ordering.NONE:
                return None
            case Ordering.FIFO:
                return ""
            case Ordering.FIFO_GROUP:
                return group or ""

    @property
    def has_priorities(self) -> bool:
        """Whether messages of a higher priority are handed out before others."""
        return self.metadata.get(PRIORITIES) is True

    @property
    def is_encrypted(self) -> bool:
        """Whether the bodies of its messages are kept encrypted."""
        return wants_encryption(self.metadata)

    @property
    def max_claims(self) -> int | None:
        """How often a message may be claimed before it becomes a dead letter."""
        return self.metadata.get(CLAIM_COUNT)

    @property
    def dead_letters(self) -> TopicKey | None:
        """Where messages go that were claimed too often; None: they stay."""
        name = self.metadata.get(DEAD_LETTERS)
        if name is None or self.max_claims is None:
            return None
        return TopicKey(self.key.project_id, name)

    @property
    def dead_letter_ttl(self) -> int | None:
        """Seconds a dead letter lives on from the moment it becomes one; None: as before."""
        return self.metadata.get(DEAD_LETTER_TTL)

    @property
    def retry_policy(self) -> RetryPolicy | None:
        """How its subscriptions' deliveries are retried, where they do not say."""
        given = self.metadata.get(RETRY_POLICY)
        return None if given is None else msgspec.convert(given, RetryPolicy)

    def accepts_from(self, project_id: str) -> bool:
        """Whether subscriptions of that project may post to it."""
        accepted = self.metadata.get(ACCEPT_FROM) or ()
        return project_id == self.key.project_id or project_id in accepted or "*" in accepted

    def is_dead(self, claim_count: int) -> bool:
        """Whether a message that was claimed so often is claimed no more."""
        return (
            self.dead_letters is not None
            and self.max_claims is not None
            and claim_count >= self.max_claims
        )


@lru_cache(4096)
def check_name(name: str) -> str:
    """`name`, if a topic may be called so.

    Raises:
        NameInvalid: it may not.
    """
    if _NAME.fullmatch(name) is None:
        raise NameInvalid(
            f"A topic's name has 1 to {NAME_LENGTH} characters out of A-Z, a-z, 0-9, '_', '-' "
            "and '.'",
            name=name[: 2 * NAME_LENGTH],
        )
    return name


def with_defaults(metadata: Metadata, bounds: TopicBounds) -> dict[str, Any]:
    """The metadata as a client sees it: each reserved key is there."""
    return {
        POST_SIZE: bounds.post,
        TTL: bounds.default_ttl,
        DELAY: 0,
        DEAD_LETTERS: None,
        DEAD_LETTER_TTL: None,
        CLAIM_COUNT: None,
        ENCRYPTION: False,
    } | dict(metadata)


def check_metadata(name: str, metadata: Metadata, bounds: TopicBounds) -> dict[str, Any]:
    """The metadata to keep for topic `name`; a reserved key set to null counts as not set.

    Raises:
        MetadataInvalid: a reserved key holds what it may not.
    """
    kept = {
        key: value for key, value in metadata.items() if key not in RESERVED or value is not None
    }
    for key, check in _checks(bounds).items():
        if key in kept:
            check(key, kept[key])
    if kept.get(DEAD_LETTERS) == name:
        raise MetadataInvalid("A topic cannot be its own dead letter topic", key=DEAD_LETTERS)
    if kept.get(PRIORITIES) and kept.get(ORDERING, Ordering.NONE.value) != Ordering.NONE.value:
        raise MetadataInvalid(
            f"{PRIORITIES} and an {ORDERING} contradict each other: a topic has one or the other",
            key=PRIORITIES,
        )
    if wants_encryption(kept) and not bounds.can_encrypt:
        raise MetadataInvalid(
            f"{ENCRYPTION}: this service has no key to encrypt with (messaging.encryption.active)",
            key=ENCRYPTION,
        )
    return kept


def wants_encryption(metadata: Metadata) -> bool:
    """Whether bodies are to be kept encrypted."""
    return metadata.get(ENCRYPTION) is True or metadata.get(ENCRYPTION_TOO) is True


def patch_metadata(metadata: Metadata, changes: Sequence[Any]) -> dict[str, Any]:
    """The metadata after the changes of a JSON patch, each at `/metadata/KEY`.

    Raises:
        PatchInvalid: an operation is not of a form that is read here.
        PatchConflict: replace or remove of a key that is neither there nor reserved.
    """
    result = dict(metadata)
    for number, change in enumerate(changes):
        operation, key = _read_change(number, change)
        if operation != "add" and key not in result and key not in RESERVED:
            raise PatchConflict(
                f"Change {number}: cannot {operation} {key!r}, which is not in the metadata",
                key=key,
            )
        if operation == "remove":
            result.pop(key, None)
        else:
            result[key] = change["value"]
    return result


def check_fixed_kept(before: Metadata, after: Metadata) -> None:
    """Return if what is chosen once stays as it is.

    That is the ordering, for messages already there stand in its lanes, and the flavor, for the
    topic lies where it led to.

    Raises:
        OrderingFixed, MetadataInvalid: it changes.
    """
    if before.get(FLAVOR) != after.get(FLAVOR):
        raise MetadataInvalid(
            f"{FLAVOR} is chosen when a topic is made (PUT) and stays; an operator can move the "
            "topic to another pool",
            key=FLAVOR,
        )
    unordered = Ordering.NONE.value
    if before.get(ORDERING, unordered) != after.get(ORDERING, unordered):
        raise OrderingFixed(
            f"{ORDERING} is chosen when a topic is made (PUT) and stays; to change it, delete the "
            "topic and make it anew",
            key=ORDERING,
        )


RESERVED = frozenset(
    {TTL, POST_SIZE, DELAY, CLAIM_COUNT, DEAD_LETTERS, DEAD_LETTER_TTL, ORDERING, PRIORITIES}
    | {RETRY_POLICY, ACCEPT_FROM, FLAVOR, ENCRYPTION, ENCRYPTION_TOO}
)


def _read_change(number: int, change: Any) -> tuple[str, str]:
    if not isinstance(change, dict):
        raise PatchInvalid(f"Change {number} is not an object", change=number)
    operation, path = change.get("op"), change.get("path")
    if operation not in ("add", "replace", "remove"):
        raise PatchInvalid(f"Change {number}: op must be add, replace or remove", change=number)
    if not isinstance(path, str) or not path.startswith(_PATCH_PATH):
        raise PatchInvalid(f"Change {number}: path must be /metadata/KEY", change=number)
    # RFC 6901: ~1 stands for a slash and ~0 for a tilde, in this order.
    encoded = path.removeprefix(_PATCH_PATH)
    if not encoded or "/" in encoded:
        raise PatchInvalid(f"Change {number}: path must be /metadata/KEY", change=number)
    if operation != "remove" and "value" not in change:
        raise PatchInvalid(f"Change {number}: {operation} needs a value", change=number)
    return operation, encoded.replace("~1", "/").replace("~0", "~")


def _checks(bounds: TopicBounds) -> dict[str, Callable[[str, Any], None]]:
    return {
        TTL: _whole_number(bounds.min_ttl, bounds.max_ttl),
        POST_SIZE: _whole_number(1, bounds.post),
        DELAY: _whole_number(0, bounds.max_delay),
        CLAIM_COUNT: _whole_number(1, 2**31 - 1),
        DEAD_LETTERS: _topic_name,
        DEAD_LETTER_TTL: _whole_number(bounds.min_ttl, bounds.max_ttl),
        ORDERING: _ordering,
        PRIORITIES: _true_or_false,
        RETRY_POLICY: _retry_policy,
        ACCEPT_FROM: _projects,
        FLAVOR: _flavor,
        ENCRYPTION: _true_or_false,
        ENCRYPTION_TOO: _true_or_false,
    }


def _whole_number(low: int, high: int) -> Callable[[str, Any], None]:
    def check(key: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise MetadataInvalid(f"{key} must be a whole number from {low} to {high}", key=key)

    return check


def _true_or_false(key: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise MetadataInvalid(f"{key} must be true or false", key=key)


def _topic_name(key: str, value: Any) -> None:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise MetadataInvalid(f"{key} must be the name of a topic", key=key)


def _flavor(key: str, value: Any) -> None:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise MetadataInvalid(f"{key} must be the name of a flavor", key=key)


def _ordering(key: str, value: Any) -> None:
    names = [ordering.value for ordering in Ordering]
    if value not in names:
        raise MetadataInvalid(f"{key} must be one of: {', '.join(names)}", key=key)


def _retry_policy(key: str, value: Any) -> None:
    try:
        msgspec.convert(value, RetryPolicy)
    except msgspec.ValidationError as fault:
        raise MetadataInvalid(f"{key}: {fault}", key=key) from None


def _projects(key: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise MetadataInvalid(f"{key} must be a list of projects, or of '*' for all", key=key)
