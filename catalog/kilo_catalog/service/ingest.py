"""Takes a stream of bytes into a store, hashing and inspecting it on the way.

Each block goes through three lanes: md5, sha512 and the writer. A lane is a task of the executor
that takes several of the blocks that wait for it, so that hand-overs between threads are few and no
lane waits for another; the caller's own thread reads meanwhile. `DEPTH` blocks are on their way at
most.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future

from kilo_catalog.domain.image import DataFacts
from kilo_catalog.imaging.inspector import Inspector
from kilo_catalog.stores.base import BlobWriter

HASH_ALGORITHM = "sha512"
DEPTH = 8
_BATCH = DEPTH // 2
Block = bytes | memoryview


def ingest(
    blocks: Iterable[Block],
    writer: BlobWriter | None,
    inspector: Inspector | None,
    executor: Executor,
    *,
    check: Callable[[int], None],
    give_back: Callable[[Block], None] | None = None,
) -> DataFacts:
    """Write all blocks and say what they were. The writer is neither committed nor cancelled.

    Without a writer they are only looked at; without an inspector they are copied as they are:
    somebody has looked at them before.

    `check` is called before each block is kept, with the bytes so far, and raises when these are
    too many or the upload is not wanted any more. `give_back` gets each block when nobody looks at
    it any more. No task is left at work when this ends, however it ends.

    Raises:
        FormatRefused: see `Inspector.feed`.
        BodyTruncated, StoreFull, StoreUnavailable: from the stream and the store.
    """
    # md5 is the Image API's `checksum`, known to be weak; os_hash_value is the one to trust.
    md5 = hashlib.md5(usedforsecurity=False)
    digest = hashlib.new(HASH_ALGORITHM)
    steps: list[Callable[[Block], object]] = [md5.update, digest.update]
    if writer is not None:
        steps.append(writer.write)
    lanes = _Lanes(executor, steps, give_back)
    size = 0
    try:
        for block in blocks:
            size += len(block)
            check(size)
            if inspector is not None:
                inspector.feed(block)
            lanes.put(block)
        lanes.finish()
    finally:
        lanes.settle()
    findings = None if inspector is None else inspector.finish()
    return DataFacts(
        size,
        None if findings is None else findings.virtual_size,
        md5.hexdigest(),
        HASH_ALGORITHM,
        digest.hexdigest(),
        findings,
    )


class _Lane:
    """One thing that is done with every block, in their order."""

    def __init__(self, executor: Executor, work: Callable[[Block], object]) -> None:
        self._executor = executor
        self._work = work
        self._waiting: deque[Block] = deque()
        self._task: Future[None] | None = None
        self._at_work = 0
        self.done = 0
        """How many blocks are through."""

    def put(self, block: Block) -> None:
        """Let this block follow the others."""
        self._waiting.append(block)
        self.go_on()

    def go_on(self, *, wait: bool = False) -> None:
        """See whether the task has ended, after waiting for it or not; if so, begin the next.
        Raises what the work has raised."""
        if self._task is not None:
            if not (wait or self._task.done()):
                return
            self._task.result()
            self.done += self._at_work
            self._task = None
        if self._waiting:
            self._at_work = min(len(self._waiting), _BATCH)
            batch = [self._waiting.popleft() for _ in range(self._at_work)]
            self._task = self._executor.submit(self._run, batch)

    def settle(self) -> None:
        """Wait for what is at work, and begin nothing more. What it raises is dropped."""
        self._waiting.clear()
        if self._task is not None:
            self._task.exception()

    def _run(self, batch: list[Block]) -> None:
        for block in batch:
            self._work(block)


class _Lanes:
    """All lanes, and the blocks that are not through each of them."""

    def __init__(
        self,
        executor: Executor,
        works: Iterable[Callable[[Block], object]],
        give_back: Callable[[Block], None] | None,
    ) -> None:
        self._lanes = [_Lane(executor, work) for work in works]
        self._blocks: deque[Block] = deque()
        self._through = 0
        self._give_back = give_back

    def put(self, block: Block) -> None:
        """Send a block on its way; waits until there is room for another."""
        self._blocks.append(block)
        for lane in self._lanes:
            lane.put(block)
        self._retire()
        while len(self._blocks) >= DEPTH:
            self._wait()

    def finish(self) -> None:
        """Wait until all blocks are through."""
        while self._blocks:
            self._wait()

    def settle(self) -> None:
        """Wait until nothing is at work: the writer must be idle before it is cancelled. The first
        failure is the one that counts; others are dropped."""
        for lane in self._lanes:
            lane.settle()

    def _wait(self) -> None:
        """Wait for the lane that is behind all others."""
        min(self._lanes, key=lambda lane: lane.done).go_on(wait=True)
        for lane in self._lanes:
            lane.go_on()
        self._retire()

    def _retire(self) -> None:
        through = min(lane.done for lane in self._lanes)
        for _ in range(through - self._through):
            block = self._blocks.popleft()
            if self._give_back is not None:
                self._give_back(block)
        self._through = through
