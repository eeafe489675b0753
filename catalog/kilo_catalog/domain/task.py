"""A task: work on an image that outlives its request. Its states, its lease, its progress.

A task runs a flow of named steps. What is finished is recorded in it, so that another worker goes
on from there when the first one died. A worker holds a task by a lease; nobody else does its work
while that lasts.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from msgspec import Struct, structs

from kilo_catalog.errors import TaskEnded, TaskLost


class TaskStatus(Enum):
    """Where a task is in its life; the words are the Image API's."""

    PENDING = "pending"
    """It waits for a worker."""
    PROCESSING = "processing"
    """A worker has it, or died with it."""
    SUCCESS = "success"
    """It did what it was to do."""
    FAILURE = "failure"
    """It failed or was cancelled; its message says why."""


ENDED = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILURE})
KEPT = timedelta(hours=48)
"""How long a task is remembered after its end."""


class Progress(Struct, frozen=True):
    """How far a task is."""

    step: str = ""
    """The step at work."""
    percent: int = 0
    """Of the whole task."""
    bytes: int = 0
    """What the step has moved so far."""
    total: int | None = None
    """What it will have moved in the end, where that is known."""


class Lease(Struct, frozen=True):
    """Who works on a task, and until when nobody else may."""

    holder: str
    """One worker's hold on one task; a worker that takes it up again has another."""
    until: datetime


class Task(Struct, frozen=True, kw_only=True):
    """The record of one task."""

    id: str
    type: str
    """The flow it runs: `api_image_import` and the like."""
    owner: str | None
    created_at: datetime
    updated_at: datetime
    image_id: str | None = None
    user_id: str | None = None
    request_id: str | None = None
    input: Mapping[str, Any] = {}
    """What was asked for, as the client wrote it."""
    context: Mapping[str, Any] = {}
    """The caller, for the policy's sake and the events': `RequestContext.to_dict`."""
    status: TaskStatus = TaskStatus.PENDING
    message: str = ""
    """What a person should know: why it failed, and what to do."""
    result: Mapping[str, Any] | None = None
    steps: tuple[str, ...] = ()
    """The steps that are finished, in order."""
    state: Mapping[str, Any] = {}
    """What the flow must know to go on after its last finished step. JSON values."""
    progress: Progress = Progress()
    lease: Lease | None = None
    attempts: int = 0
    """How often a worker took it up."""
    cancelled: bool = False
    """Somebody asked for its end; the worker that has it ends it."""
    expires_at: datetime | None = None
    version: int = 0


def take(task: Task, lease: Lease, now: datetime) -> Task:
    """`task` in a worker's hands."""
    return structs.replace(
        task,
        status=TaskStatus.PROCESSING,
        lease=lease,
        attempts=task.attempts + 1,
        updated_at=now,
    )


def check_held(task: Task, holder: str, now: datetime) -> None:
    """Return if `holder` may write the task.

    Raises:
        TaskLost: its lease has ended, or another has the task.
    """
    lease = task.lease
    if lease is None or lease.holder != holder or lease.until <= now:
        raise TaskLost("Another worker may have the task now", task_id=task.id)


def renew(task: Task, until: datetime) -> Task:
    """`task` held for longer."""
    assert task.lease is not None, "only a held task is renewed"
    return structs.replace(task, lease=Lease(task.lease.holder, until))


def release(task: Task, now: datetime) -> Task:
    """`task` for another worker to go on with, at once; it does not count as a worker's death."""
    return structs.replace(
        task,
        status=TaskStatus.PENDING,
        lease=None,
        attempts=max(0, task.attempts - 1),
        updated_at=now,
    )


def finish_step(task: Task, name: str, state: Mapping[str, Any], now: datetime) -> Task:
    """`task` with one step more behind it."""
    return structs.replace(task, steps=(*task.steps, name), state=state, updated_at=now)


def succeed(task: Task, result: Mapping[str, Any], now: datetime, message: str = "") -> Task:
    """`task` done."""
    return structs.replace(
        task,
        status=TaskStatus.SUCCESS,
        result=result,
        message=message,
        lease=None,
        progress=structs.replace(task.progress, step="", percent=100),
        updated_at=now,
        expires_at=now + KEPT,
    )


def fail(task: Task, message: str, now: datetime) -> Task:
    """`task` given up."""
    return structs.replace(
        task,
        status=TaskStatus.FAILURE,
        message=message,
        lease=None,
        state={},
        updated_at=now,
        expires_at=now + KEPT,
    )


def again(task: Task, now: datetime, context: Mapping[str, Any]) -> Task:
    """A failed `task`, to be run anew from its beginning.

    Raises:
        TaskEnded: it has not failed.
    """
    if task.status is not TaskStatus.FAILURE:
        raise TaskEnded(
            f"Task {task.id} is {task.status.value}: only one that failed can be retried",
            task_id=task.id,
            status=task.status.value,
        )
    return structs.replace(
        task,
        status=TaskStatus.PENDING,
        message="",
        result=None,
        steps=(),
        state={},
        progress=Progress(),
        attempts=0,
        cancelled=False,
        context=context,
        updated_at=now,
        expires_at=None,
    )
