"""Takes a stream of bytes into a store, hashing and inspecting it on the way.

While one block is hashed (a task per digest) and written, the next is read: reading is the caller's
own work, the rest is the executor's. No more than about three blocks are in memory.
"""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Any

from kilo_catalog.domain.image import DataFacts
from kilo_catalog.imaging.inspector import Inspector
from kilo_catalog.stores.base import BlobWriter

HASH_ALGORITHM = "sha512"


def ingest(
    blocks: Iterable[bytes],
    writer: BlobWriter | None,
    inspector: Inspector | None,
    executor: Executor,
    *,
    check: Callable[[int], None],
) -> DataFacts:
    """Write all blocks and say what they were. The writer is neither committed nor cancelled.

    Without a writer they are only looked at; without an inspector they are copied as they are:
    somebody has looked at them before.

    `check` is called before each block is kept, with the bytes so far, and raises when these are
    too many or the upload is not wanted any more. No task is left at work when this ends, however
    it ends.

    Raises:
        FormatRefused: see `Inspector.feed`.
        BodyTruncated, StoreFull, StoreUnavailable: from the stream and the store.
    """
    # md5 is the Image API's `checksum`, known to be weak; os_hash_value is the one to trust.
    md5 = hashlib.md5(usedforsecurity=False)
    digest = hashlib.new(HASH_ALGORITHM)
    tasks: list[Future[Any]] = []
    size = 0
    try:
        for block in blocks:
            size += len(block)
            check(size)
            if inspector is not None:
                inspector.feed(block)
            _finish(tasks)
            steps: list[Callable[[bytes], object]] = [md5.update, digest.update]
            if writer is not None:
                steps.append(writer.write)
            tasks += [executor.submit(step, block) for step in steps]
        _finish(tasks)
    finally:
        _settle(tasks)
    findings = None if inspector is None else inspector.finish()
    return DataFacts(
        size,
        None if findings is None else findings.virtual_size,
        md5.hexdigest(),
        HASH_ALGORITHM,
        digest.hexdigest(),
        findings,
    )


def _finish(tasks: list[Future[Any]]) -> None:
    """Wait for the tasks of the block before; the first that failed raises."""
    while tasks:
        tasks[-1].result()
        tasks.pop()


def _settle(tasks: list[Future[Any]]) -> None:
    """Wait for what is still at work after a failure: the writer must be idle before it is
    cancelled. The first failure is the one that counts; these are dropped."""
    for task in tasks:
        task.exception()
    tasks.clear()
