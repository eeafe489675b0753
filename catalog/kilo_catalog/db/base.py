"""The interface to the records: a unit of work, and what may be done inside one.

A transaction is a function: `read(work)` and `write(work)` call it with a `Transaction`, perhaps
more than once, in a thread of their own, so it touches nothing else. Every driver passes
`tests/contracts/unit_of_work.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from kilo_catalog.db.base_artifact import ArtifactRepository
from kilo_catalog.db.base_cache import CacheRepository
from kilo_catalog.db.base_metadef import MetadefRepository
from kilo_catalog.db.base_task import TaskRepository
from kilo_catalog.domain.image import Image
from kilo_catalog.domain.listing import ImagePage, ListQuery
from kilo_catalog.domain.member import Member
from kilo_catalog.errors import RecordChanged

T = TypeVar("T")
ATTEMPTS = 10


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to an image, recorded where it happened."""

    id: str
    event_type: str
    """`image.activate` and the like."""
    payload: Mapping[str, Any]
    context: Mapping[str, Any]
    occurred_at: datetime


class ClaimedEvent(Struct, frozen=True):
    """An event in a relay's hands."""

    sequence: int
    event: Event


class Doomed(Struct, frozen=True):
    """A blob that no image has any more, and that is to be removed from its store."""

    store: str
    key: str
    due_at: datetime
    """Not before: its upload may still be at work until then."""


class Usage(Struct, frozen=True):
    """What a project's images take."""

    images: int
    uploading: int
    """Images that are being filled: by an upload, by staging or by an import."""
    size: int
    """Bytes of images that have their data."""
    staged: int = 0
    """Bytes that are staged or being imported."""


class ImageRepository(Protocol):
    """The image records inside one transaction. Deleted ones keep their id and nothing else."""

    def add(self, image: Image) -> None:
        """Keep a new image.

        Raises:
            ImageIdTaken: an image has, or had, that id. The transaction must end.
        """
        ...

    def get(self, image_id: str) -> Image:
        """The image of that id.

        Raises:
            ImageNotFound: there is none, or it is deleted.
        """
        ...

    def update(self, image: Image) -> Image:
        """Keep a changed image in place of the version it was made from; the kept one, with its
        new version, is returned. An image that was made DELETED is not found from then on, and
        has no members.

        Raises:
            ImageChanged: the record has moved on since. The transaction must end.
        """
        ...

    def list_page(self, query: ListQuery) -> ImagePage:
        """One page of the images in reach that meet all conditions.

        Raises:
            ListQueryInvalid: the marker is no image in reach.
        """
        ...

    def list_expired(self, now: datetime, limit: int) -> Sequence[Image]:
        """Images whose upload's lease, or whose staged data's time, ended before `now`, oldest
        first."""
        ...

    def list_with_data(self, after: str, limit: int) -> Sequence[Image]:
        """Images that have copies of their data, with ids after `after`, by id."""
        ...

    def has_blob(self, store: str, key: str) -> bool:
        """Whether an image has this blob, or is getting it. It may take long."""
        ...

    def usage(self, owner: str | None) -> Usage:
        """What the images of `owner` take."""
        ...


class MemberRepository(Protocol):
    """The projects that images are shared with, inside one transaction.

    Who adds a member has got the image in the same transaction, so that it is there and stays.
    """

    def add(self, member: Member) -> None:
        """Keep a new member.

        Raises:
            MemberExists: the image has it already. The transaction must end.
        """
        ...

    def find(self, image_id: str, project_id: str) -> Member | None:
        """The member, or None."""
        ...

    def list(self, image_id: str) -> Sequence[Member]:
        """The members of an image, oldest first; none if there is no such image."""
        ...

    def update(self, member: Member) -> None:
        """Keep a changed member. One that is gone stays gone."""
        ...

    def remove(self, image_id: str, project_id: str) -> None:
        """Forget a member. Twice is harmless."""
        ...


class DoomedRepository(Protocol):
    """The blobs to remove, inside one transaction."""

    def add(self, doomed: Doomed) -> None:
        """Remember a blob to remove. One that is remembered already keeps the later time."""
        ...

    def extend(self, store: str, key: str, due_at: datetime) -> None:
        """Give a remembered blob a later time; one that is not remembered has an owner now."""
        ...

    def has(self, store: str, key: str) -> bool:
        """Whether a blob is remembered."""
        ...

    def list_due(self, now: datetime, limit: int) -> Sequence[Doomed]:
        """Blobs whose time has come, oldest first."""
        ...

    def remove(self, store: str, key: str) -> None:
        """Forget a blob: it is gone. Twice is harmless."""
        ...


class OutboxRepository(Protocol):
    """Events to announce, inside one transaction."""

    added: int
    """How many events this transaction has recorded."""

    def add(self, event: Event) -> None:
        """Record an event, in the transaction that makes it true."""
        ...

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[ClaimedEvent]:
        """The oldest events that nobody has in hand, in order; nobody else gets them until
        `until`."""
        ...

    def release(self, sequences: Sequence[int], now: datetime) -> None:
        """Let others claim these from `now` on."""
        ...

    def remove(self, sequences: Sequence[int]) -> None:
        """Forget these: they were announced. Twice is harmless."""
        ...


class Transaction(Protocol):
    """What work gets: the repositories, all in one transaction."""

    @property
    def images(self) -> ImageRepository: ...

    @property
    def members(self) -> MemberRepository: ...

    @property
    def metadefs(self) -> MetadefRepository: ...

    @property
    def tasks(self) -> TaskRepository: ...

    @property
    def cache(self) -> CacheRepository: ...

    @property
    def artifacts(self) -> ArtifactRepository: ...

    @property
    def doomed(self) -> DoomedRepository: ...

    @property
    def outbox(self) -> OutboxRepository: ...


Work = Callable[[Transaction], T]


class UnitOfWork(ABC):
    """Runs work in transactions: callers use `read` and `write`, a driver fills in the rest."""

    def __init__(self) -> None:
        self._wake: Callable[[], None] = _ignore

    def on_event(self, wake: Callable[[], None]) -> None:
        """Call `wake` after each commit that recorded events; it returns at once."""
        self._wake = wake

    def read(self, work: Work[T], *, brief: bool = False) -> T:
        """What `work` returns from a transaction that changes nothing; see `Database.read` for
        `brief`.

        Raises:
            DatabaseUnavailable: no answer.
            Whatever `work` raises.
        """
        return self._read(work, brief=brief)

    def write(self, work: Work[T]) -> T:
        """What `work` returns, once its changes are safe. Work that met a changed record runs anew.

        Raises:
            RecordChanged: the record changed under it again and again.
            DatabaseUnavailable: no answer.
            Whatever `work` raises; then nothing of it is kept.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result, recorded = self._write(lambda tx: (work(tx), tx.outbox.added))
            except RecordChanged:
                if attempt == ATTEMPTS:
                    raise
                continue
            if recorded:
                self._wake()
            return result
        raise AssertionError("unreachable")

    @abstractmethod
    def _read(self, work: Work[T], *, brief: bool) -> T: ...

    @abstractmethod
    def _write(self, work: Work[T]) -> T: ...

    @abstractmethod
    def check(self) -> None:
        """Return if the records can be reached.

        Raises:
            DatabaseUnavailable: they cannot.
        """


def _ignore() -> None:
    return None
