"""What an import leaves behind when it fails: an image as it was, and blobs to remove."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction
from kilo_catalog.domain.convert_request import CONVERT_TASK
from kilo_catalog.domain.image import Image, ImageStatus, ImportState, Location
from kilo_catalog.domain.import_request import ImportMethod, plan_of
from kilo_catalog.domain.import_work import ImportWork, work_of
from kilo_catalog.domain.importing import fall_back
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ImageNotFound
from kilo_catalog.service.blob_removal import doom

STAGED_AGAIN = timedelta(hours=24)
"""How long staged data waits for another try after an import that failed."""


def undo_import(
    transaction: Transaction, task: Task, message: str, now: datetime
) -> Sequence[Doomed]:
    """Take back what the task has done to its image, in the transaction that ends the task.

    Copies stay where the import was allowed to miss a store and has served another. The blobs that
    nobody has any more are doomed, and returned.
    """
    work = work_of(task)
    kept: tuple[Location, ...] = ()
    image = _image_of(transaction, task)
    request = None if task.type == CONVERT_TASK else plan_of(task).request
    # What lay somewhere before the import stays there after it.
    is_place = request is not None and request.method is ImportMethod.LOCATION
    orphans = [] if is_place else list(work.placed)
    if image is not None:
        partly = request is not None and not request.must_succeed
        changed = _without(image, work, message, now, partly=partly)
        transaction.images.update(changed)
        kept = changed.locations
        if changed.staged is not None:
            kept = (*kept, Location(changed.staged.store, changed.staged.key))
        if image.staged is not None and changed.staged is None:
            orphans.append(Location(image.staged.store, image.staged.key))
    if work.blob is not None and work.blob.own:
        orphans.append(work.blob.location)
    return doom(transaction, [each for each in orphans if each not in kept], now)


def _image_of(transaction: Transaction, task: Task) -> Image | None:
    """The image, if it is still this task's."""
    try:
        image = transaction.images.get(task.image_id or "")
    except ImageNotFound:
        return None  # whoever deleted it has doomed its copies and what was staged
    return image if image.imports is not None and image.imports.task == task.id else None


def _without(image: Image, work: ImportWork, message: str, now: datetime, *, partly: bool) -> Image:
    assert image.imports is not None, "seen by _image_of"
    if not (partly and work.placed and image.status is not ImageStatus.IMPORTING):
        return fall_back(image, work.placed, message, now + STAGED_AGAIN)
    failed = tuple(dict.fromkeys((*image.imports.failed, *image.imports.waiting)))
    return structs.replace(image, staged=None, imports=ImportState(None, (), failed, message))
