"""An image: its fields, its states, and the one table of how a state may follow another."""

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import Enum

from msgspec import Struct, structs

from kilo_catalog.domain.findings import Findings
from kilo_catalog.errors import StatusConflict, VersionMismatch

DISK_FORMATS = frozenset(
    {"ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "gpt"}
)
CONTAINER_FORMATS = frozenset({"ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"})


class ImageStatus(Enum):
    """Where an image is in its life."""

    QUEUED = "queued"
    """A record without data."""
    SAVING = "saving"
    """Its data is being uploaded."""
    UPLOADING = "uploading"
    """Its data is being staged, to be imported later."""
    IMPORTING = "importing"
    """Its data is being imported."""
    ACTIVE = "active"
    """Its data can be downloaded."""
    DEACTIVATED = "deactivated"
    """It has data, which only an administrator may read."""
    KILLED = "killed"
    """Its upload failed for good."""
    PENDING_DELETE = "pending_delete"
    """It is deleted, its data not yet."""
    DELETED = "deleted"
    """It is gone; its id stays taken."""


_S = ImageStatus
TRANSITIONS: Mapping[ImageStatus, frozenset[ImageStatus]] = {
    _S.QUEUED: frozenset({_S.SAVING, _S.UPLOADING, _S.IMPORTING, _S.ACTIVE, _S.DELETED}),
    _S.SAVING: frozenset({_S.ACTIVE, _S.KILLED, _S.QUEUED, _S.DELETED}),
    _S.UPLOADING: frozenset({_S.IMPORTING, _S.QUEUED, _S.DELETED}),
    _S.IMPORTING: frozenset({_S.ACTIVE, _S.UPLOADING, _S.QUEUED, _S.DELETED}),
    _S.ACTIVE: frozenset({_S.DEACTIVATED, _S.DELETED, _S.PENDING_DELETE}),
    _S.DEACTIVATED: frozenset({_S.ACTIVE, _S.DELETED}),
    _S.KILLED: frozenset({_S.DELETED}),
    _S.PENDING_DELETE: frozenset({_S.ACTIVE, _S.DELETED}),
    _S.DELETED: frozenset(),
}

FILLING = frozenset({_S.SAVING, _S.UPLOADING, _S.IMPORTING})
"""Images that are getting data; there may be a quota on them."""
STAGED = frozenset({_S.UPLOADING, _S.IMPORTING})
"""Those whose bytes are not theirs yet."""


class Visibility(Enum):
    """Who may see an image besides its owner."""

    PUBLIC = "public"
    """Everybody, and in their lists."""
    COMMUNITY = "community"
    """Everybody who asks for it."""
    SHARED = "shared"
    """The owner's project, and projects it is shared with."""
    PRIVATE = "private"
    """The owner's project."""


class Location(Struct, frozen=True, omit_defaults=True):
    """One copy of an image's data: a key in a store."""

    store: str
    key: str
    metadata: tuple[tuple[str, str], ...] = ()
    """What clients have noted about it."""
    ours: bool = True
    """Whether the data goes with the image; what is on the web stays there."""


class Resumable(Struct, frozen=True):
    """What is known of an upload in several requests, between them."""

    length: int
    """The bytes it will have in the end."""
    metadata: str
    """What its client has noted about it, as the header had it."""
    holder: str
    """The request that is at work on it; empty between two."""
    held_until: datetime
    """When it is free again, if the process of its holder dies."""


class UploadClaim(Struct, frozen=True):
    """Who fills an image that is `saving` or is being staged, and where to. The lease ends it if
    its process dies."""

    id: str
    """The upload's id, and the key of its blob."""
    store: str
    lease_until: datetime
    """Of one that is resumable: until when its next request may come."""
    resumable: Resumable | None = None

    @property
    def written_until(self) -> datetime:
        """Until when a process may be writing the blob."""
        return self.lease_until if self.resumable is None else self.resumable.held_until


class DataFacts(Struct, frozen=True):
    """What is known of data that has come in whole."""

    size: int
    virtual_size: int | None
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    findings: Findings | None = None
    """What the inspector saw."""


class Staged(Struct, frozen=True):
    """Data that was staged: a blob in the staging store, to be imported."""

    store: str
    key: str
    until: datetime
    """When it is given up if nobody has imported it."""
    facts: DataFacts


class ImportState(Struct, frozen=True):
    """The import of an image that is under way, or what became of the last one."""

    task: str | None
    """The task at work; it alone imports this image."""
    waiting: tuple[str, ...] = ()
    """Stores that do not have the data yet."""
    failed: tuple[str, ...] = ()
    """Stores that could not be given it."""
    message: str = ""
    """Why the import failed, and what to do."""


class Image(Struct, frozen=True, kw_only=True):
    """The record of one image."""

    id: str
    owner: str | None
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    status: ImageStatus = ImageStatus.QUEUED
    visibility: Visibility = Visibility.SHARED
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    min_disk: int = 0
    min_ram: int = 0
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = {}
    locations: tuple[Location, ...] = ()
    upload: UploadClaim | None = None
    staged: Staged | None = None
    imports: ImportState | None = None
    findings: Findings | None = None
    """What its data was found to be; None as long as there is none."""
    version: int = 0
    """Counts the changes of the record; a change names the version it was made from."""


def move(image: Image, status: ImageStatus) -> Image:
    """`image` in another status.

    Raises:
        StatusConflict: the table does not lead there.
    """
    if status not in TRANSITIONS[image.status]:
        raise StatusConflict(
            f"Image status transition from {image.status.value} to {status.value} is not allowed",
            image_id=image.id,
            status=image.status.value,
            wanted=status.value,
        )
    return structs.replace(image, status=status)


def check_version(image: Image, expected: Collection[int] | None) -> None:
    """Return if the image is one of the versions expected; None expects any.

    Raises:
        VersionMismatch: it is not.
    """
    if expected is not None and image.version not in expected:
        raise VersionMismatch(
            "The image has changed since; read it again, then decide", image_id=image.id
        )


def claim(image: Image, upload: UploadClaim) -> Image:
    """`image` being filled by `upload`. Raises as `move`."""
    return structs.replace(move(image, ImageStatus.SAVING), upload=upload)


def fill(image: Image, facts: DataFacts, now: datetime) -> Image:
    """`image` with the data that its upload brought. Raises as `move`."""
    assert image.upload is not None, "only a claimed image is filled"
    return structs.replace(
        move(image, ImageStatus.ACTIVE),
        size=facts.size,
        virtual_size=facts.virtual_size,
        checksum=facts.checksum,
        os_hash_algo=facts.os_hash_algo,
        os_hash_value=facts.os_hash_value,
        findings=facts.findings,
        locations=(*image.locations, Location(image.upload.store, image.upload.id)),
        upload=None,
        updated_at=now,
    )


def give_back(image: Image) -> Image:
    """`image` without what was filling it or was staged: a record without data. Raises as
    `move`."""
    return structs.replace(
        move(image, ImageStatus.QUEUED),
        upload=None,
        staged=None,
        size=None,
        virtual_size=None,
        checksum=None,
        os_hash_algo=None,
        os_hash_value=None,
        findings=None,
    )


def bury(image: Image, now: datetime) -> Image:
    """`image` deleted; what is left is its id. Raises as `move`."""
    return structs.replace(
        move(image, ImageStatus.DELETED),
        locations=(),
        upload=None,
        staged=None,
        imports=None,
        findings=None,
        updated_at=now,
    )


def filled_until(image: Image) -> datetime | None:
    """When an image that waits for data, or for the import of what it has, is given up."""
    if image.upload is not None:
        return image.upload.lease_until
    if image.staged is not None and image.status is ImageStatus.UPLOADING:
        return image.staged.until
    return None


def is_visible(image: Image, project_id: str | None, *, is_admin: bool) -> bool:
    """Whether a project may know of an image, whoever it is shared with."""
    return (
        is_admin
        or (project_id is not None and image.owner == project_id)
        or image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY)
    )
