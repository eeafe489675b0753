"""The tasks in memory."""

from collections import Counter
from datetime import datetime

from msgspec import structs

from kilo_catalog.domain.task import ENDED, Lease, Task, TaskStatus, take
from kilo_catalog.domain.task_query import TaskPage, TaskQuery, sort_place
from kilo_catalog.errors import ListQueryInvalid, TaskChanged, TaskNotFound


class MemoryTasks:
    """The tasks, inside one transaction."""

    def __init__(self, rows: dict[str, Task]) -> None:
        self.rows = rows

    def add(self, task: Task) -> None:
        self.rows[task.id] = task

    def get(self, task_id: str) -> Task:
        if task_id not in self.rows:
            raise TaskNotFound(task_id)
        return self.rows[task_id]

    def update(self, task: Task) -> Task:
        present = self.rows.get(task.id)
        if present is None or present.version != task.version:
            raise TaskChanged("The task was changed meanwhile; try again", task_id=task.id)
        self.rows[task.id] = structs.replace(task, version=task.version + 1)
        return self.rows[task.id]

    def remove(self, task_id: str) -> None:
        self.rows.pop(task_id, None)

    def list_page(self, query: TaskQuery) -> TaskPage:
        def place(task: Task) -> tuple[object, str]:
            return sort_place(task, query.sort_key)

        found = [task for task in self.rows.values() if _meets(task, query)]
        found.sort(key=place, reverse=query.descending)
        if query.marker is not None:
            if query.marker not in self.rows:
                raise ListQueryInvalid("The marker is not the id of a task")
            marker = self.rows[query.marker]
            after = [marker, *(task for task in found if task.id != marker.id)]
            after.sort(key=place, reverse=query.descending)
            found = after[after.index(marker) + 1 :]
        return TaskPage(tuple(found[: query.limit]), 0 < query.limit < len(found))

    def take_next(self, lease: Lease, now: datetime, per_project: int) -> Task | None:
        held = Counter(
            task.owner or ""
            for task in self.rows.values()
            if task.status is TaskStatus.PROCESSING and task.lease and task.lease.until > now
        )
        waiting = [
            task
            for task in self.rows.values()
            if _is_free(task, now) and held[task.owner or ""] < per_project
        ]
        if not waiting:
            return None
        oldest = min(waiting, key=lambda task: (task.created_at, task.id))
        return self.update(take(oldest, lease, now))

    def remove_expired(self, now: datetime) -> int:
        gone = [
            task.id
            for task in self.rows.values()
            if task.status in ENDED and task.expires_at is not None and task.expires_at < now
        ]
        for task_id in gone:
            del self.rows[task_id]
        return len(gone)


def _meets(task: Task, query: TaskQuery) -> bool:
    return (
        query.owner in (None, task.owner)
        and query.type in (None, task.type)
        and query.status in (None, task.status.value)
        and query.image_id in (None, task.image_id)
        and query.request_id in (None, task.request_id)
    )


def _is_free(task: Task, now: datetime) -> bool:
    return task.status is TaskStatus.PENDING or (
        task.status is TaskStatus.PROCESSING and task.lease is not None and task.lease.until <= now
    )
