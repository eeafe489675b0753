"""Runs one task to its end: step after step, each at most once to its end."""

import logging
from collections.abc import Mapping

from kilo_catalog.db.base import Doomed, Transaction
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ImageNotFound, TaskCancelled, TaskLost
from kilo_catalog.tasks.flow import Flow
from kilo_catalog.tasks.job import Job, TaskInterrupted
from kilo_common.clock import Clock
from kilo_common.errors import KiloError

log = logging.getLogger(__name__)


class Runner:
    """Knows the flows, and what becomes of each kind of error."""

    def __init__(self, flows: Mapping[str, Flow], clock: Clock, attempts: int) -> None:
        """`attempts`: as many workers may die with a task before it is given up."""
        self._flows = flows
        self._clock = clock
        self._attempts = attempts

    def run(self, job: Job) -> None:
        """Do what is left of a task; it has ended after this, or is another worker's.

        Raises:
            Unavailable: the database does not answer; the task goes on when its lease has ended.
        """
        try:
            self._run(job)
        except TaskLost as fault:
            log.warning("task %s goes on elsewhere: %s", job.task.id, fault)

    def _run(self, job: Job) -> None:
        try:
            self._work(job)
        except TaskInterrupted:
            job.release()
        except TaskLost:
            raise
        except ImageNotFound:
            self._fail(job, "The image was deleted.")
        except TaskCancelled as fault:
            self._fail(job, fault.message)
        except KiloError as fault:
            log.info("task %s failed: %s", job.task.id, fault)
            self._fail(job, f"{job.task.progress.step}: {fault.message}")
        except Exception:  # a task's edge: no error of ours may leave an image without a way out
            log.exception("task %s failed", job.task.id)
            self._fail(
                job,
                f"{job.task.progress.step}: an error of the service itself; its log has the "
                f"details under {job.task.id}. Retry the task later.",
            )

    def _work(self, job: Job) -> None:
        if job.task.attempts > self._attempts:
            raise TaskCancelled(
                f"It was given up after {self._attempts} workers died at the step "
                f"{job.task.progress.step!r}. Retry it when the cause is found.",
            )
        job.check()
        steps = self._flow(job.task).steps(job.task)
        names = [step.name for step in steps]
        for number, step in enumerate(steps):
            if step.name not in job.task.steps:
                job.begin(names, number)
                job.check()
                step.run(job)

    def _flow(self, task: Task) -> Flow:
        flow = self._flows.get(task.type)
        if flow is None:
            raise TaskCancelled(f"No worker here knows tasks of the type {task.type!r}.")
        return flow

    def _fail(self, job: Job, message: str) -> None:
        flow = self._flows.get(job.task.type)

        def change(transaction: Transaction) -> list[Doomed]:
            if flow is None:
                return []
            # Its own record, not the job's copy: a step may have been recorded without our knowing.
            task = transaction.tasks.get(job.task.id)
            return list(flow.undo(transaction, task, message, self._clock.now()))

        job.fail(message, change)
