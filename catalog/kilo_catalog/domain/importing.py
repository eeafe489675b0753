"""An image on its way through an import: pure steps from one record to the next.

queued ── stage ──▶ uploading ── begin ──▶ importing ── activate ──▶ active
   └────────────────── begin (from elsewhere) ──▲  │
uploading (staged data is kept), or queued ◀── fall_back
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from kilo_catalog.domain.image import (
    DataFacts,
    Image,
    ImageStatus,
    ImportState,
    Location,
    Staged,
    UploadClaim,
    give_back,
    move,
)

_HAS_DATA = frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED})


def claim_stage(image: Image, upload: UploadClaim) -> Image:
    """`image` being staged by `upload`. Raises as `move`."""
    return structs.replace(move(image, ImageStatus.UPLOADING), upload=upload)


def stage(image: Image, staged: Staged, now: datetime) -> Image:
    """`image` with data that waits for its import."""
    return structs.replace(
        image, upload=None, staged=staged, size=staged.facts.size, updated_at=now
    )


def begin(image: Image, task_id: str, stores: Sequence[str]) -> Image:
    """`image` in the hands of an import. One that has data keeps its status. Raises as `move`."""
    moved = image if image.status in _HAS_DATA else move(image, ImageStatus.IMPORTING)
    return structs.replace(moved, imports=ImportState(task_id, tuple(stores)))


def place(image: Image, location: Location, facts: DataFacts, now: datetime) -> Image:
    """`image` with a copy of its data in one store more."""
    assert image.imports is not None, "only an import places data"
    waiting = tuple(each for each in image.imports.waiting if each != location.store)
    return structs.replace(
        image,
        size=facts.size,
        virtual_size=facts.virtual_size,
        checksum=facts.checksum,
        os_hash_algo=facts.os_hash_algo,
        os_hash_value=facts.os_hash_value,
        findings=facts.findings,
        locations=(*image.locations, location),
        imports=structs.replace(image.imports, waiting=waiting),
        updated_at=now,
    )


def miss(image: Image, store: str) -> Image:
    """`image` with one store that could not be given its data."""
    assert image.imports is not None, "only an import misses a store"
    state = image.imports
    waiting = tuple(each for each in state.waiting if each != store)
    failed = (*(each for each in state.failed if each != store), store)
    return structs.replace(image, imports=structs.replace(state, waiting=waiting, failed=failed))


def activate(image: Image) -> Image:
    """`image` with data that can be downloaded; one that is so already stays as it is."""
    return image if image.status in _HAS_DATA else move(image, ImageStatus.ACTIVE)


def close(image: Image, message: str = "") -> Image:
    """`image` free for another import; what failed stays visible."""
    assert image.imports is not None, "only a begun import is closed"
    return structs.replace(
        image, staged=None, imports=structs.replace(image.imports, task=None, message=message)
    )


def fall_back(
    image: Image, placed: Sequence[Location], message: str, staged_until: datetime
) -> Image:
    """`image` as it was before an import that failed: without what that had placed.

    Staged data is kept for another try, until then; without it the image is `queued`.
    """
    assert image.imports is not None, "only a begun import falls back"
    state = image.imports
    failed = tuple(dict.fromkeys((*state.failed, *(each.store for each in placed), *state.waiting)))
    freed = structs.replace(
        image,
        locations=tuple(each for each in image.locations if each not in placed),
        imports=ImportState(None, (), failed, message),
    )
    if image.status is not ImageStatus.IMPORTING:
        return freed
    if image.staged is None:
        return give_back(freed)
    staged = structs.replace(image.staged, until=staged_until)
    moved = move(freed, ImageStatus.UPLOADING)
    return structs.replace(
        moved,
        staged=staged,
        size=staged.facts.size,
        virtual_size=None,
        checksum=None,
        os_hash_algo=None,
        os_hash_value=None,
        findings=None,
    )
