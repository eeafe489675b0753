"""The interface to the records of tasks."""

from datetime import datetime
from typing import Protocol

from kilo_catalog.domain.task import Lease, Task
from kilo_catalog.domain.task_query import TaskPage, TaskQuery


class TaskRepository(Protocol):
    """The tasks inside one transaction."""

    def add(self, task: Task) -> None:
        """Keep a new task; its id is its own."""
        ...

    def get(self, task_id: str) -> Task:
        """The task of that id.

        Raises:
            TaskNotFound: there is none.
        """
        ...

    def update(self, task: Task) -> Task:
        """Keep a changed task in place of the version it was made from; the kept one is returned.

        Raises:
            TaskChanged: the record has moved on since, or is gone. The transaction must end.
        """
        ...

    def remove(self, task_id: str) -> None:
        """Forget a task. Twice is harmless."""
        ...

    def list_page(self, query: TaskQuery) -> TaskPage:
        """One page of the tasks asked for.

        Raises:
            ListQueryInvalid: the marker is no task's id.
        """
        ...

    def take_next(self, lease: Lease, now: datetime, per_project: int) -> Task | None:
        """The oldest task that waits, or whose worker's lease has ended, now held by `lease`.

        A project of which `per_project` tasks are held already has to wait. Two workers never
        get the same task; on a database server those that ask at the same moment may together
        pass the bound of a project by one each.
        """
        ...

    def remove_expired(self, now: datetime) -> int:
        """Forget the ended tasks whose time is up; how many there were."""
        ...
