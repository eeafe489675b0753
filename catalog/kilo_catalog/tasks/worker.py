"""The worker: takes tasks up, a bounded number at a time, and keeps the leases on them."""

import logging
import threading

from kilo_catalog.db.base import Transaction
from kilo_catalog.domain.task import Lease, Task
from kilo_catalog.tasks.job import Job, JobTools
from kilo_catalog.tasks.periodic import Periodic
from kilo_catalog.tasks.runner import Runner
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)
POLL = 5.0
"""Seconds between two looks for tasks that nobody has announced: left by dead workers, or made
while the bus was down."""
FORGET_EVERY = 600.0


class TaskWorker:
    """Several threads of one process, each with a task. Any number of processes may work."""

    def __init__(
        self, runner: Runner, tools: JobTools, *, name: str, concurrency: int, per_project: int
    ) -> None:
        """`name` is this process's own; `per_project` bounds the tasks of one project over all
        workers."""
        self._runner = runner
        self._tools = tools
        self._name = name[:24]
        self._concurrency = concurrency
        self._per_project = per_project
        self._lock = threading.Lock()
        self._jobs: dict[Job, threading.Thread | None] = {}
        self._stopping = False
        self._forgotten_at: float | None = None
        self._look = Periodic("catalog-tasks", POLL, self._dispatch)
        third = tools.lease.total_seconds() / 3
        self._renewal = Periodic("catalog-task-leases", third, self.renew_all)

    def start(self) -> None:
        """Begin to look for tasks."""
        self._stopping = False
        self._renewal.start()
        self._look.start()

    def stop(self, timeout: float) -> None:
        """Take up no more; tasks at work are given back at their next check, so that another
        worker goes on with them at once."""
        self._stopping = True
        self._look.stop(timeout)
        with self._lock:
            at_work = dict(self._jobs)
        for job in at_work:
            job.interrupt()
        deadline = self._tools.clock.monotonic() + timeout
        for thread in at_work.values():
            if thread is not None:
                thread.join(max(0.0, deadline - self._tools.clock.monotonic()))
        self._renewal.stop(1.0)

    def wake(self) -> None:
        """Something has changed: there may be a task to take up, or one not wanted any more."""
        self._look.wake()
        if self._jobs:
            self._renewal.wake()

    def renew_all(self) -> None:
        """Keep every task of this process; learn which are not wanted."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            try:
                job.renew()
            except KiloError as fault:
                log.warning("the lease on task %s was not renewed: %s", job.task.id, fault)

    def run_pending(self) -> int:
        """Do all there is to do now, on this thread; how many tasks that were."""
        count = 0
        while (job := self._take()) is not None:
            self._work(job)
            count += 1
        return count

    def _dispatch(self) -> None:
        self._forget()
        while not self._stopping and len(self._jobs) < self._concurrency:
            job = self._take()
            if job is None:
                return
            thread = threading.Thread(
                target=self._work, args=(job,), name=f"task-{job.task.id}", daemon=True
            )
            with self._lock:
                if job in self._jobs:
                    self._jobs[job] = thread
            thread.start()

    def _take(self) -> Job | None:
        tools = self._tools
        holder = f"{self._name}/{tools.new_id()}"

        def work(transaction: Transaction) -> Task | None:
            now = tools.clock.now()
            lease = Lease(holder, now + tools.lease)
            return transaction.tasks.take_next(lease, now, self._per_project)

        task = tools.unit_of_work.write(work)
        if task is None:
            return None
        job = Job(task, tools)
        with self._lock:
            self._jobs[job] = None
        return job

    def _work(self, job: Job) -> None:
        try:
            self._runner.run(job)
        except Exception:  # a thread's edge: the lease ends, and another worker takes the task up
            log.exception("task %s could not be worked on", job.task.id)
        finally:
            with self._lock:
                self._jobs.pop(job, None)
            self._look.wake()

    def _forget(self) -> None:
        now = self._tools.clock.monotonic()
        if self._forgotten_at is None or now - self._forgotten_at > FORGET_EVERY:
            self._forgotten_at = now
            moment = self._tools.clock.now()
            self._tools.unit_of_work.write(lambda tx: tx.tasks.remove_expired(moment))
