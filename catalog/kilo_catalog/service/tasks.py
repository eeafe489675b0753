"""The operations on tasks: list, show, make, cancel, retry, forget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.convert_request import CONVERT_TASK
from kilo_catalog.domain.import_request import ADMIN_TASK, IMPORT_TASK, plan_of
from kilo_catalog.domain.task import ENDED, Task, again, fail
from kilo_catalog.domain.task_query import Pairs, TaskPage, TaskQuery, parse_task_query
from kilo_catalog.errors import ImportInvalid, TaskEnded, TaskNotFound
from kilo_catalog.service.access import Access
from kilo_catalog.service.blob_removal import BlobRemoval
from kilo_catalog.service.conversions import Conversions
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.images import Images
from kilo_catalog.service.import_undo import undo_import
from kilo_catalog.service.imports import Imports
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource

CANCELLED = "It was cancelled. Retry it, or begin another."
_MOST = 1000


@dataclass(frozen=True)
class Tasks:
    """What clients do with tasks."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    images: Images
    imports: Imports
    conversions: Conversions
    removal: BlobRemoval
    clock: Clock
    new_id: IdSource

    def list_page(self, context: RequestContext, pairs: Pairs) -> TaskPage:
        """One page of all projects' tasks.

        Raises:
            PolicyForbids: the caller may not list tasks.
            ListQueryInvalid: the query string is malformed.
        """
        self._enforce(context)
        query = parse_task_query(pairs, self.images.limits)
        return self.unit_of_work.read(lambda tx: tx.tasks.list_page(query))

    def get(self, context: RequestContext, task_id: str) -> Task:
        """The task.

        Raises:
            PolicyForbids: the caller may not see tasks.
            TaskNotFound: there is none.
        """
        self._enforce(context)
        return self.unit_of_work.read(lambda tx: tx.tasks.get(task_id))

    def list_image(self, context: RequestContext, image_id: str) -> Sequence[Task]:
        """The tasks of an image that are remembered, oldest first.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
        """

        def work(transaction: Transaction) -> Sequence[Task]:
            image = self.access.find(transaction, context, image_id, "get_image_tasks")
            query = TaskQuery(_MOST, image_id=image.id, descending=False)
            return transaction.tasks.list_page(query).tasks

        return self.unit_of_work.read(work)

    def create(self, context: RequestContext, body: object) -> Task:
        """Make an image and the task that imports its data from a URL.

        Raises:
            PolicyForbids: the caller may not make tasks.
            ImportInvalid, FetchRefused, ImageInvalid, QuotaExceeded: the body asks for something
                that cannot be.
        """
        self._enforce(context)
        given, attributes = _parse(body)
        self.imports.check_uri(given["import_from"])
        image = self.images.create(context, attributes)
        now = self.clock.now()
        stores = [self.imports.default_store]
        task = Task(
            id=self.new_id(),
            type=ADMIN_TASK,
            owner=image.owner,
            image_id=image.id,
            user_id=context.user_id,
            request_id=context.request_id,
            input={**given, "backend": stores},
            context=context.to_dict(),
            created_at=now,
            updated_at=now,
        )

        def work(transaction: Transaction) -> None:
            found = transaction.images.get(image.id)
            self.imports.admit(transaction, context, task, found, plan_of(task))
            transaction.tasks.add(task)

        self.unit_of_work.write(work)
        self.imports.ring()
        return task

    def remove(self, context: RequestContext, task_id: str) -> None:
        """Forget a task that has ended.

        Raises:
            PolicyForbids, TaskNotFound: see `get`.
            TaskEnded: it has not ended; cancel it first.
        """
        self._enforce(context)

        def work(transaction: Transaction) -> None:
            task = transaction.tasks.get(task_id)
            if task.status not in ENDED:
                raise TaskEnded(f"Task {task_id} is at work; cancel it first", task_id=task_id)
            transaction.tasks.remove(task_id)

        self.unit_of_work.write(work)

    def cancel(self, context: RequestContext, image_id: str, task_id: str) -> Task:
        """End a task. One that waits, or whose worker died, ends at once; one at work as soon as
        its worker notices.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            TaskNotFound: it is no task of that image.
            TaskEnded: it has ended already.
        """
        now = self.clock.now()

        def work(transaction: Transaction) -> tuple[Task, Any]:
            task = self._of_image(transaction, context, image_id, task_id, "cancel_task")
            if task.status in ENDED:
                raise TaskEnded(
                    f"Task {task_id} has ended: {task.status.value}",
                    task_id=task_id,
                    status=task.status.value,
                )
            if task.lease is not None and task.lease.until > now:
                return transaction.tasks.update(_marked(task)), ()
            doomed = undo_import(transaction, task, CANCELLED, now)
            ended = transaction.tasks.update(fail(_marked(task), CANCELLED, now))
            self.events.record_task(transaction, context, "task.failure", ended)
            return ended, doomed

        task, doomed = self.unit_of_work.write(work)
        self.removal.remove_now(doomed)
        self.imports.ring()
        return task

    def retry(self, context: RequestContext, image_id: str, task_id: str) -> Task:
        """Run a failed task anew, from its beginning.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            TaskNotFound: it is no task of that image.
            TaskEnded: it has not failed.
            ImportConflict: the image is not any more as the task needs it.
        """
        now = self.clock.now()

        def work(transaction: Transaction) -> Task:
            task = self._of_image(transaction, context, image_id, task_id, "retry_task")
            renewed = again(task, now, context.to_dict())
            image = transaction.images.get(image_id)
            if task.type == CONVERT_TASK:
                self.conversions.admit(transaction, context, renewed, image)
            else:
                self.imports.admit(transaction, context, renewed, image, plan_of(task))
            return transaction.tasks.update(renewed)

        task = self.unit_of_work.write(work)
        self.imports.ring()
        return task

    def _enforce(self, context: RequestContext) -> None:
        self.access.policy.enforce(context, "tasks_api_access", {})

    def _of_image(
        self,
        transaction: Transaction,
        context: RequestContext,
        image_id: str,
        task_id: str,
        rule: str,
    ) -> Task:
        image = self.access.find(transaction, context, image_id, rule)
        task = transaction.tasks.get(task_id)
        if task.image_id != image.id:
            raise TaskNotFound(task_id)
        return task


def _marked(task: Task) -> Task:
    return structs.replace(task, cancelled=True)


def _parse(body: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The input of a task that is made by hand, and the attributes of its image.

    Raises:
        ImportInvalid: it is malformed, or no task that can be made by hand.
    """
    if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
        raise ImportInvalid('A task is made like this: {"type": "import", "input": {…}}')
    if body.get("type") != ADMIN_TASK:
        raise ImportInvalid(
            f"Tasks that can be made by hand are of the type {ADMIN_TASK!r}; those of the type "
            f"{IMPORT_TASK!r} come from POST /v2/images/ID/import"
        )
    given = body["input"]
    for name in ("import_from", "import_from_format"):
        if not isinstance(given.get(name), str) or not given[name]:
            raise ImportInvalid(f"input.{name} must be text", attribute=name)
    properties = given.get("image_properties", {})
    if not isinstance(properties, dict):
        raise ImportInvalid(
            "input.image_properties must be an object", attribute="image_properties"
        )
    formats = {"disk_format": given["import_from_format"], "container_format": "bare"}
    return given, {**formats, **properties}
