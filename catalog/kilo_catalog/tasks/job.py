"""A task in a worker's hands: its lease, its steps, what it has begun to write.

Everything a job changes it changes in one transaction with the task's record, and only while its
lease lasts. A blob is written down as doomed before its first byte and taken off that list in the
transaction that gives it an owner: whatever dies in between, the reaper finds it.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.image import Location
from kilo_catalog.domain.task import (
    Progress,
    Task,
    check_held,
    fail,
    finish_step,
    release,
    renew,
    succeed,
)
from kilo_catalog.errors import TaskCancelled, TaskLost
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.events import EventRecorder
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.errors import Conflict, KiloError, NotFound
from kilo_common.ids import IdSource

MARGIN = timedelta(seconds=60)
"""For how long after the end of a lease a blob that was being written is left alone."""
PROGRESS_EVERY = 1.0
"""Seconds between two records of a step's progress."""
Change = Callable[[Transaction], Sequence[Doomed] | None]
"""What a step does to the records when it ends; the blobs that nobody has any more."""


class TaskInterrupted(Conflict):
    """This worker stops; another goes on with the task."""

    code = "catalog.task.interrupted"


@dataclass(frozen=True)
class JobTools:
    """What all jobs of a process share."""

    unit_of_work: UnitOfWork
    events: EventRecorder
    removal: BlobRemoval
    clock: Clock
    new_id: IdSource
    lease: timedelta


@dataclass
class _Signals:
    """What other threads tell a job."""

    stop: bool = False
    fault: KiloError | None = None
    breaks: list[Callable[[], None]] = field(default_factory=list)
    """What ends the waits that the worker may be in."""
    blobs: set[Location] = field(default_factory=set)


class Job:
    """One hold on one task. One thread works; `renew` and `interrupt` come from others."""

    def __init__(self, task: Task, tools: JobTools) -> None:
        assert task.lease is not None, "a job is made of a task that was taken"
        self.task = task
        self.context = RequestContext.from_dict(task.context)
        self.holder = task.lease.holder
        self._tools = tools
        self._signals = _Signals()
        self._lock = threading.Lock()
        self._part = (0, 1)
        self._steps: Sequence[str] = ()
        self._shown_at = tools.clock.monotonic()
        if task.cancelled:
            self._signals.fault = _cancelled(task)

    def check(self) -> None:
        """Return while the work is wanted.

        Raises:
            TaskCancelled: it is not.
            TaskLost: the lease ended.
            TaskInterrupted: this worker stops.
        """
        if self._signals.fault is not None:
            raise self._signals.fault
        if self._signals.stop:
            raise TaskInterrupted("The worker stops", task_id=self.task.id)

    def interrupt(self) -> None:
        """Have the next `check` end the work here, for another worker to go on with."""
        self._signals.stop = True
        self._break()

    @contextmanager
    def breaking(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block waits for somebody else: `end` is called, in another thread, when the
        work is not wanted any more. After that `check` says why."""
        self._signals.breaks.append(end)
        try:
            self.check()
            yield
        finally:
            self._signals.breaks.remove(end)

    def _break(self) -> None:
        for end in tuple(self._signals.breaks):
            end()

    def _stop_for(self, fault: KiloError) -> None:
        self._signals.fault = self._signals.fault or fault
        self._break()

    def renew(self) -> None:
        """Hold the task for longer, and find out whether it is still wanted."""
        with self._lock:
            blobs = tuple(self._signals.blobs)

        def work(transaction: Transaction) -> Task:
            # From when it is our turn to write, which a busy database may make us wait for.
            until = self._tools.clock.now() + self._tools.lease
            kept = transaction.tasks.update(renew(self._held(transaction), until))
            for each in blobs:
                transaction.doomed.extend(each.store, each.key, until + MARGIN)
            return kept

        try:
            task = self._tools.unit_of_work.write(work)
        except TaskLost as fault:
            self._stop_for(fault)
            return
        if task.cancelled:
            self._stop_for(_cancelled(task))

    def begin(self, steps: Sequence[str], number: int) -> None:
        """Say which of all the steps is at work: the `number`th, from 0."""
        self._steps = steps
        self._part = (number, len(steps))
        if self.task.progress.step != steps[number]:
            self._show(Progress(steps[number], 100 * number // len(steps)))

    def progress(self, done: int, total: int | None) -> None:
        """Say how far the step is, in bytes. Passed on now and then."""
        now = self._tools.clock.monotonic()
        if now - self._shown_at < PROGRESS_EVERY:
            return
        number, count = self._part
        fraction = min(1.0, done / total) if total else 0.0
        percent = int(100 * (number + fraction) / count)
        self._show(Progress(self.task.progress.step, percent, done, total))

    def new_blob(self, store: str) -> Location:
        """A place for a blob of this task, which is removed if the task does not come to own it."""
        blob = Location(store, self._tools.new_id())
        due = self._tools.clock.now() + self._tools.lease + MARGIN
        self._tools.unit_of_work.write(lambda tx: tx.doomed.add(Doomed(blob.store, blob.key, due)))
        with self._lock:
            self._signals.blobs.add(blob)
        return blob

    def drop_blob(self, blob: Location) -> None:
        """Remove a blob that came to nothing."""
        with self._lock:
            self._signals.blobs.discard(blob)
        self._tools.removal.remove_now([Doomed(blob.store, blob.key, self._tools.clock.now())])

    def finish_step(
        self,
        name: str,
        state: Mapping[str, Any],
        change: Change,
        *,
        owned: Location | None = None,
    ) -> None:
        """Record that a step is done, with what it changes, in one transaction. `owned` is the
        blob of `new_blob` that has an owner from then on.

        Raises:
            TaskCancelled, TaskLost: as `check`; nothing was changed.
            Whatever `change` raises; then as well.
        """
        following = self._following()

        def work(transaction: Transaction) -> tuple[Task, Sequence[Doomed]]:
            task = self._held(transaction)
            if task.cancelled:
                raise _cancelled(task)
            doomed = change(transaction) or ()
            if owned is not None:
                transaction.doomed.remove(owned.store, owned.key)
            done = finish_step(task, name, state, self._tools.clock.now())
            if following is not None:
                done = structs.replace(done, progress=following)
                self._tools.events.record_task(transaction, self.context, "task.progress", done)
            return transaction.tasks.update(done), doomed

        self._settle(work, owned)

    def succeed(self, result: Mapping[str, Any], change: Change, message: str = "") -> None:
        """End the task well. Raises as `finish_step`."""

        def work(transaction: Transaction) -> tuple[Task, Sequence[Doomed]]:
            task = self._held(transaction)
            doomed = change(transaction) or ()
            ended = succeed(task, result, self._tools.clock.now(), message)
            kept = transaction.tasks.update(ended)
            self._tools.events.record_task(transaction, self.context, "task.success", kept)
            return kept, doomed

        self._settle(work, None)

    def fail(self, message: str, change: Change) -> None:
        """End the task badly, with what that changes. Raises TaskLost."""

        def work(transaction: Transaction) -> tuple[Task, Sequence[Doomed]]:
            task = self._held(transaction)
            doomed = change(transaction) or ()
            kept = transaction.tasks.update(fail(task, message, self._tools.clock.now()))
            self._tools.events.record_task(transaction, self.context, "task.failure", kept)
            return kept, doomed

        self._settle(work, None)
        for blob in tuple(self._signals.blobs):
            self.drop_blob(blob)

    def release(self) -> None:
        """Let another worker go on at once. Raises TaskLost."""
        now = self._tools.clock.now()
        for blob in tuple(self._signals.blobs):
            self.drop_blob(blob)
        self._tools.unit_of_work.write(lambda tx: tx.tasks.update(release(self._held(tx), now)))

    def _following(self) -> Progress | None:
        """The step that comes next: shown with the end of this one, which saves a transaction."""
        number, count = self._part[0] + 1, self._part[1]
        if number >= len(self._steps):
            return None
        return Progress(self._steps[number], 100 * number // count)

    def _settle(
        self,
        work: Callable[[Transaction], tuple[Task, Sequence[Doomed]]],
        owned: Location | None,
    ) -> None:
        self.task, doomed = self._tools.unit_of_work.write(work)
        if owned is not None:
            with self._lock:
                self._signals.blobs.discard(owned)
        self._tools.removal.remove_now(doomed)

    def _show(self, progress: Progress) -> None:
        self._shown_at = self._tools.clock.monotonic()

        def work(transaction: Transaction) -> Task:
            shown = structs.replace(
                self._held(transaction), progress=progress, updated_at=self._tools.clock.now()
            )
            kept = transaction.tasks.update(shown)
            self._tools.events.record_task(transaction, self.context, "task.progress", kept)
            return kept

        self.task = self._tools.unit_of_work.write(work)

    def _held(self, transaction: Transaction) -> Task:
        try:
            task = transaction.tasks.get(self.task.id)
        except NotFound as fault:
            raise TaskLost("The task is gone", task_id=self.task.id) from fault
        check_held(task, self.holder, self._tools.clock.now())
        return task


def _cancelled(task: Task) -> TaskCancelled:
    return TaskCancelled("It was cancelled. Retry it, or begin another.", task_id=task.id)
