"""The interface of a flow: the steps of one type of task, and what undoes them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from kilo_catalog.db.base import Doomed, Transaction
from kilo_catalog.domain.task import Task
from kilo_catalog.tasks.job import Job


@dataclass(frozen=True)
class Step:
    """One part of a flow. It ends with `Job.finish_step`, the flow's last with `Job.succeed`.

    It may run again from its beginning, when a worker died in it: then the task's state is as the
    step before has left it.
    """

    name: str
    run: Callable[[Job], None]


class Flow(ABC):
    """What is done for tasks of some types. Made once; it holds no task."""

    types: ClassVar[tuple[str, ...]]

    @abstractmethod
    def steps(self, task: Task) -> Sequence[Step]:
        """All steps of this task, in order, the finished ones as well. It follows from the task's
        input and the configuration alone.

        Raises:
            InvalidInput: the task's record cannot be understood.
        """

    @abstractmethod
    def undo(
        self, transaction: Transaction, task: Task, message: str, now: datetime
    ) -> Sequence[Doomed]:
        """Take back what has been done, in the transaction that ends the task in failure; the
        blobs that nobody has any more, doomed."""
