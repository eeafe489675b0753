"""The tasks in an SQL database. What is searched for has columns; the rest is one JSON value."""

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from kilo_catalog.db.models import tasks
from kilo_catalog.domain.task import ENDED, Lease, Progress, Task, TaskStatus, take
from kilo_catalog.domain.task_query import TaskPage, TaskQuery
from kilo_catalog.errors import ListQueryInvalid, TaskChanged, TaskNotFound

_COLUMNS = (
    "id", "type", "owner", "image_id", "request_id", "created_at", "updated_at", "expires_at",
    "version",
)  # fmt: skip
_REST = (
    "user_id", "input", "context", "message", "result", "steps", "state", "progress", "attempts",
    "cancelled",
)  # fmt: skip
_WAITING = tasks.c.status == TaskStatus.PENDING.value


class _Rest(msgspec.Struct, frozen=True):
    """The fields of a task that no query asks for, as its row's JSON has them."""

    user_id: str | None
    input: dict[str, Any]
    context: dict[str, Any]
    message: str
    result: dict[str, Any] | None
    steps: tuple[str, ...]
    state: dict[str, Any]
    progress: Progress
    attempts: int
    cancelled: bool


_rest = msgspec.json.Decoder(_Rest)


class SqlTasks:
    """The tasks, inside one transaction."""

    def __init__(self, connection: sa.Connection, *, locks: bool) -> None:
        self._connection = connection
        self._locks = locks

    def add(self, task: Task) -> None:
        self._connection.execute(sa.insert(tasks), _to_row(task))

    def get(self, task_id: str) -> Task:
        statement = sa.select(tasks).where(tasks.c.id == task_id)
        if self._locks:
            statement = statement.with_for_update()
        row = self._connection.execute(statement).first()
        if row is None:
            raise TaskNotFound(task_id)
        return _to_task(row)

    def update(self, task: Task) -> Task:
        kept = msgspec.structs.replace(task, version=task.version + 1)
        matched = self._connection.execute(
            sa.update(tasks)
            .where(tasks.c.id == task.id, tasks.c.version == task.version)
            .values(_to_row(kept))
        )
        if matched.rowcount != 1:
            raise TaskChanged("The task was changed meanwhile; try again", task_id=task.id)
        return kept

    def remove(self, task_id: str) -> None:
        self._connection.execute(sa.delete(tasks).where(tasks.c.id == task_id))

    def list_page(self, query: TaskQuery) -> TaskPage:
        key = tasks.c[query.sort_key]
        statement = sa.select(tasks)
        for name in ("owner", "type", "status", "image_id", "request_id"):
            wanted = getattr(query, name)
            if wanted is not None:
                statement = statement.where(tasks.c[name] == wanted)
        if query.marker is not None:
            place = self._connection.execute(
                sa.select(key, tasks.c.id).where(tasks.c.id == query.marker)
            ).first()
            if place is None:
                raise ListQueryInvalid("The marker is not the id of a task")
            here = sa.tuple_(key, tasks.c.id)
            there = sa.tuple_(sa.literal(place[0], key.type), sa.literal(place[1]))
            statement = statement.where(here < there if query.descending else here > there)
        order = [each.desc() if query.descending else each for each in (key, tasks.c.id)]
        rows = self._connection.execute(statement.order_by(*order).limit(query.limit + 1)).all()
        found = tuple(_to_task(row) for row in rows[: query.limit])
        return TaskPage(found, len(rows) > query.limit and query.limit > 0)

    def take_next(self, lease: Lease, now: datetime, per_project: int) -> Task | None:
        held = (tasks.c.status == TaskStatus.PROCESSING.value) & (tasks.c.lease_until > now)
        owner = sa.func.coalesce(tasks.c.owner, "")
        busy = sa.select(owner).where(held).group_by(owner)
        busy = busy.having(sa.func.count() >= per_project)
        full = list(self._connection.scalars(busy))
        left = (tasks.c.status == TaskStatus.PROCESSING.value) & (tasks.c.lease_until <= now)
        statement = sa.select(tasks).where(_WAITING | left)
        if full:
            statement = statement.where(owner.not_in(full))
        statement = (
            statement.order_by(tasks.c.created_at, tasks.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)  # nothing on SQLite: it has one writer anyway
        )
        row = self._connection.execute(statement).first()
        return None if row is None else self.update(take(_to_task(row), lease, now))

    def remove_expired(self, now: datetime) -> int:
        ended = [each.value for each in ENDED]
        gone = self._connection.execute(
            sa.delete(tasks).where(tasks.c.expires_at < now, tasks.c.status.in_(ended))
        )
        return int(gone.rowcount)


def _to_row(task: Task) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(task, name) for name in _COLUMNS}
    rest = {name: getattr(task, name) for name in _REST}
    return row | {
        "status": task.status.value,
        "holder": task.lease.holder if task.lease else None,
        "lease_until": task.lease.until if task.lease else None,
        "rest": msgspec.json.encode(rest).decode(),
    }


def _to_task(row: sa.Row[Any]) -> Task:
    values: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS}
    lease = Lease(row.holder, row.lease_until) if row.holder else None
    rest = _rest.decode(row.rest)
    shown = {name: getattr(rest, name) for name in _REST}
    return Task(**values, **shown, status=TaskStatus(row.status), lease=lease)
