"""Image records in memory: for tests and throw-away stacks. Gone when the process ends."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import structs

from kilo_catalog.db.base import (
    ClaimedEvent,
    Doomed,
    Event,
    T,
    UnitOfWork,
    Usage,
    Work,
)
from kilo_catalog.db.base_cache import CacheEntry
from kilo_catalog.db.memory_artifact import MemoryArtifacts
from kilo_catalog.db.memory_cache import MemoryCache
from kilo_catalog.db.memory_metadef import MemoryMetadefs
from kilo_catalog.db.memory_task import MemoryTasks
from kilo_catalog.domain.image import FILLING, STAGED, Image, ImageStatus, filled_until
from kilo_catalog.domain.listing import ImagePage, ListQuery, SortKey, in_reach, meets
from kilo_catalog.domain.locations import has_blob
from kilo_catalog.domain.member import Member, MemberStatus
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import (
    ImageChanged,
    ImageIdTaken,
    ImageNotFound,
    ListQueryInvalid,
    MemberExists,
)


class MemoryUnitOfWork(UnitOfWork):
    """One writer at a time works on copies that take the old ones' place when it succeeds."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._state = _State(
            {}, {}, MemoryMetadefs({}, {}), {}, {}, 0, {}, {}, MemoryArtifacts({}, {}, {})
        )

    def _read(self, work: Work[T], *, brief: bool) -> T:
        del brief
        return work(self._state)

    def _write(self, work: Work[T]) -> T:
        with self._lock:
            changed = self._state.copy()
            result = work(changed)
            self._state = changed
            return result

    def check(self) -> None:
        return None


class _State:
    """All records; as a `Transaction`, the repositories over them."""

    def __init__(
        self,
        images: dict[str, Image],
        members: dict[tuple[str, str], Member],
        metadefs: MemoryMetadefs,
        doomed: dict[tuple[str, str], Doomed],
        events: dict[int, tuple[Event, datetime | None]],
        last: int,
        tasks: dict[str, Task],
        cache: dict[tuple[str, str], CacheEntry],
        artifacts: MemoryArtifacts,
    ) -> None:
        self.members = _Members(members)
        self.images = _Images(images, self.members)
        self.metadefs = metadefs
        self.doomed = _Doomed(doomed)
        self.outbox = _Outbox(events, last)
        self.tasks = MemoryTasks(tasks)
        self.cache = MemoryCache(cache)
        self.artifacts = artifacts

    def copy(self) -> "_State":
        return _State(
            dict(self.images.rows),
            dict(self.members.rows),
            self.metadefs.copy(),
            dict(self.doomed.rows),
            dict(self.outbox.rows),
            self.outbox.last,
            dict(self.tasks.rows),
            dict(self.cache.rows),
            self.artifacts.copy(),
        )


class _Images:
    def __init__(self, rows: dict[str, Image], members: "_Members") -> None:
        self.rows = rows
        self._members = members

    def add(self, image: Image) -> None:
        if image.id in self.rows:
            raise ImageIdTaken(f"Image ID {image.id} already exists!", image_id=image.id)
        self.rows[image.id] = image

    def get(self, image_id: str) -> Image:
        image = self.rows.get(image_id)
        if image is None or image.status is ImageStatus.DELETED:
            raise ImageNotFound(image_id)
        return image

    def update(self, image: Image) -> Image:
        present = self.rows.get(image.id)
        if present is None or present.version != image.version:
            raise ImageChanged(
                "The image was changed by another request; try again", image_id=image.id
            )
        self.rows[image.id] = structs.replace(image, version=image.version + 1)
        if image.status is ImageStatus.DELETED:
            for member in self._members.list(image.id):
                self._members.remove(image.id, member.project_id)
        return self.rows[image.id]

    def list_page(self, query: ListQuery) -> ImagePage:
        found = [
            image
            for image in self.rows.values()
            if _is_listed(image, query, self._membership(image, query))
        ]
        for key in reversed(query.sort):
            found.sort(key=_sort_value(key), reverse=key.descending)
        if query.marker is not None:
            found = found[self._position(found, query) :]
        return ImagePage(tuple(found[: query.limit]), len(found) > query.limit)

    def _position(self, found: list[Image], query: ListQuery) -> int:
        marker = self.rows.get(query.marker or "")
        if (
            marker is None
            or marker.status is ImageStatus.DELETED
            or not in_reach(marker, query.reach, self._membership(marker, query))
        ):
            raise ListQueryInvalid("The marker is not the id of an image in this list")
        for position, image in enumerate(found):
            if _comes_after(image, marker, query.sort):
                return position
        return len(found)

    def _membership(self, image: Image, query: ListQuery) -> MemberStatus | None:
        member = self._members.find(image.id, query.reach.owner or "")
        return member.status if member else None

    def list_expired(self, now: datetime, limit: int) -> Sequence[Image]:
        expired = [
            (until, image)
            for image in self.rows.values()
            if (until := filled_until(image)) is not None and until < now
        ]
        expired.sort(key=lambda pair: pair[0])
        return [image for _until, image in expired[:limit]]

    def list_with_data(self, after: str, limit: int) -> Sequence[Image]:
        found = [each for each in self.rows.values() if each.locations and each.id > after]
        return sorted(found, key=lambda each: each.id)[:limit]

    def has_blob(self, store: str, key: str) -> bool:
        return any(has_blob(image, store, key) for image in self.rows.values())

    def usage(self, owner: str | None) -> Usage:
        own = [
            image
            for image in self.rows.values()
            if image.owner == owner and image.status is not ImageStatus.DELETED
        ]
        filling = sum(image.status in FILLING for image in own)
        staged = sum(image.size or 0 for image in own if image.status in STAGED)
        return Usage(len(own), filling, sum(image.size or 0 for image in own) - staged, staged)


class _Members:
    def __init__(self, rows: dict[tuple[str, str], Member]) -> None:
        self.rows = rows

    def add(self, member: Member) -> None:
        if (member.image_id, member.project_id) in self.rows:
            raise MemberExists(
                f"Image {member.image_id} is shared with {member.project_id} already",
                image_id=member.image_id,
                member_id=member.project_id,
            )
        self.rows[member.image_id, member.project_id] = member

    def find(self, image_id: str, project_id: str) -> Member | None:
        return self.rows.get((image_id, project_id))

    def list(self, image_id: str) -> Sequence[Member]:
        found = [member for member in self.rows.values() if member.image_id == image_id]
        return sorted(found, key=lambda member: (member.created_at, member.project_id))

    def update(self, member: Member) -> None:
        if (member.image_id, member.project_id) in self.rows:
            self.rows[member.image_id, member.project_id] = member

    def remove(self, image_id: str, project_id: str) -> None:
        self.rows.pop((image_id, project_id), None)


class _Doomed:
    def __init__(self, rows: dict[tuple[str, str], Doomed]) -> None:
        self.rows = rows

    def add(self, doomed: Doomed) -> None:
        present = self.rows.get((doomed.store, doomed.key))
        if present is None or present.due_at < doomed.due_at:
            self.rows[doomed.store, doomed.key] = doomed

    def extend(self, store: str, key: str, due_at: datetime) -> None:
        if (store, key) in self.rows:
            self.add(Doomed(store, key, due_at))

    def has(self, store: str, key: str) -> bool:
        return (store, key) in self.rows

    def list_due(self, now: datetime, limit: int) -> Sequence[Doomed]:
        due = [doomed for doomed in self.rows.values() if doomed.due_at <= now]
        return sorted(due, key=lambda doomed: doomed.due_at)[:limit]

    def remove(self, store: str, key: str) -> None:
        self.rows.pop((store, key), None)


class _Outbox:
    def __init__(self, rows: dict[int, tuple[Event, datetime | None]], last: int) -> None:
        self.rows = rows
        self.last = last
        self.added = 0

    def add(self, event: Event) -> None:
        self.last += 1
        self.added += 1
        self.rows[self.last] = (event, None)

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[ClaimedEvent]:
        free = [number for number, (_, lease) in self.rows.items() if lease is None or lease <= now]
        claimed = [ClaimedEvent(number, self.rows[number][0]) for number in sorted(free)[:limit]]
        for each in claimed:
            self.rows[each.sequence] = (each.event, until)
        return claimed

    def release(self, sequences: Sequence[int], now: datetime) -> None:
        for number in sequences:
            if number in self.rows:
                self.rows[number] = (self.rows[number][0], now)

    def remove(self, sequences: Sequence[int]) -> None:
        for number in sequences:
            self.rows.pop(number, None)


def _is_listed(image: Image, query: ListQuery, membership: MemberStatus | None) -> bool:
    return (
        image.status is not ImageStatus.DELETED
        and in_reach(image, query.reach, membership)
        and all(meets(image, condition) for condition in query.conditions)
    )


def _sort_value(key: SortKey) -> Callable[[Image], Any]:
    """Where an image stands by one key. What it does not have comes before all it could have."""

    def value(image: Image) -> Any:
        found = getattr(image, key.attribute)
        if found is None:
            return -1 if key.attribute == "size" else ""
        return found.value if isinstance(found, ImageStatus) else found

    return value


def _comes_after(image: Image, marker: Image, sort: Sequence[SortKey]) -> bool:
    for key in sort:
        here, there = _sort_value(key)(image), _sort_value(key)(marker)
        if here != there:
            return bool(here < there) if key.descending else bool(here > there)
    return False
