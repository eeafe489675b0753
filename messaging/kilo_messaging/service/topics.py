"""Operations on topics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kilo_common.context import RequestContext
from kilo_messaging.domain.topic import (
    Metadata,
    Topic,
    TopicKey,
    check_fixed_kept,
    check_metadata,
    patch_metadata,
    with_defaults,
)
from kilo_messaging.errors import LimitExceeded
from kilo_messaging.service.desk import Desk, project_of
from kilo_messaging.storage.base import Stats

_SCAN = 100
"""Topics read at once while a filter looks for those it lets through."""


@dataclass(frozen=True)
class TopicFilter:
    """Which topics to list: the name contains `name`, each key has the value named, none hidden."""

    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def lets_through(self, topic: Topic) -> bool:
        """Whether the topic is wanted. Values compare as text, as they come in a URL."""
        name = topic.key.name
        return (
            self.name in name
            and name not in self.hidden
            and all(
                key in topic.metadata and _as_text(topic.metadata[key]) == value
                for key, value in self.metadata.items()
            )
        )


class TopicOperations:
    """What a client may do with topics."""

    def __init__(self, desk: Desk, service_topics: frozenset[str] = frozenset()) -> None:
        """`service_topics` are those that the service posts to by itself, in every project."""
        self._desk = desk
        self._service_topics = service_topics

    def create(self, context: RequestContext, name: str, metadata: Metadata) -> bool:
        """Make a topic; False, and nothing changes, if there is one of that name.

        Raises:
            NameInvalid, MetadataInvalid, LimitExceeded: what was asked for cannot be.
        """
        desk = self._desk
        desk.permit(context, "queues:create")
        key = desk.key(context, name)
        kept = self._checked(name, metadata)
        return desk.stores.topics.create(key, kept, desk.now())

    def get(self, context: RequestContext, name: str) -> dict[str, Any]:
        """A topic's metadata with each reserved key; the defaults for one that was never made."""
        desk = self._desk
        desk.permit(context, "queues:get")
        topic = desk.stores.topics.get(desk.key(context, name))
        return with_defaults(topic.metadata if topic else {}, desk.bounds)

    def page(
        self,
        context: RequestContext,
        *,
        marker: str = "",
        limit: int | None = None,
        name: str = "",
        metadata: Mapping[str, str] | None = None,
        as_queues: bool = False,
    ) -> list[Topic]:
        """The project's topics by name, those after `marker` that `TopicFilter` lets through.

        `as_queues` leaves out the service's own: clients of queues cannot hold such names (they
        know letters, digits, dashes and underscores only) and fail on the whole list.

        Raises:
            LimitExceeded: `limit` is not a page's.
        """
        desk = self._desk
        desk.permit(context, "queues:get_all")
        size = desk.page_size(limit)
        project = project_of(context)
        hidden = self._service_topics if as_queues else frozenset()
        wanted = TopicFilter(name, metadata or {}, hidden)
        if wanted == TopicFilter():
            return desk.stores.topics.page(project, after=marker, limit=size)
        found: list[Topic] = []
        while len(found) < size:
            batch = desk.stores.topics.page(project, after=marker, limit=_SCAN)
            found += [topic for topic in batch if wanted.lets_through(topic)]
            if len(batch) < _SCAN:
                break
            marker = batch[-1].key.name
        return found[:size]

    def count(self, context: RequestContext, *, as_queues: bool = False) -> int:
        """How many topics the project has, the service's own counted unless `as_queues`."""
        self._desk.permit(context, "queues:get_all")
        topics, project = self._desk.stores.topics, project_of(context)
        hidden = self._service_topics if as_queues else frozenset()
        present = sum(topics.get(TopicKey(project, name)) is not None for name in hidden)
        return topics.count(project) - present

    def update(self, context: RequestContext, name: str, changes: Sequence[Any]) -> dict[str, Any]:
        """Change a topic's metadata by a JSON patch; what it is then. A missing topic is made.

        Raises:
            PatchInvalid, PatchConflict, OrderingFixed, MetadataInvalid, LimitExceeded: nothing
                was changed.
        """
        desk = self._desk
        desk.permit(context, "queues:update")
        topic = desk.stores.topics.update(
            desk.key(context, name),
            lambda present: self._patched(name, present, changes),
            desk.now(),
        )
        return with_defaults(topic.metadata, desk.bounds)

    def delete(self, context: RequestContext, name: str) -> None:
        """Remove a topic with all that is in it; a missing one is no error."""
        desk = self._desk
        desk.permit(context, "queues:delete")
        desk.stores.topics.delete(desk.key(context, name))

    def stats(self, context: RequestContext, name: str) -> Stats:
        """How many messages a topic has, and its oldest and newest; zeros for a missing one."""
        desk = self._desk
        desk.permit(context, "queues:stats")
        return desk.stores.messages.stats(desk.key(context, name), desk.now())

    def purge(self, context: RequestContext, name: str) -> None:
        """Remove a topic's messages except those that somebody has claimed."""
        desk = self._desk
        desk.permit(context, "queues:purge")
        desk.stores.messages.purge(desk.key(context, name), desk.now())

    def _patched(self, name: str, present: Metadata, changes: Sequence[Any]) -> dict[str, Any]:
        changed = self._checked(name, patch_metadata(present, changes))
        check_fixed_kept(present, changed)
        return changed

    def _checked(self, name: str, metadata: Metadata) -> dict[str, Any]:
        kept = check_metadata(name, metadata, self._desk.bounds)
        size = len(msgspec.json.encode(kept))
        if size > self._desk.limits.metadata:
            raise LimitExceeded(
                f"A topic's metadata may have at most {self._desk.limits.metadata} bytes",
                name="metadata",
                value=size,
            )
        return kept


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
