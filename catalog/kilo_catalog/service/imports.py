"""Imports: asked for here, done by a task. All that can be refused at once is refused here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import to_builtins

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.conversion import check_container, check_conversion, same_format
from kilo_catalog.domain.image import Image, ImageStatus, Location
from kilo_catalog.domain.import_request import (
    IMPORT_TASK,
    ImportMethod,
    ImportPlan,
    ImportRequest,
    parse_import,
)
from kilo_catalog.domain.importing import begin
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ImportConflict, ImportInvalid
from kilo_catalog.service.access import Access
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.intake import formats_of
from kilo_catalog.service.places import Places
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.fetch.fetcher import Fetcher
from kilo_common.ids import IdSource

Ring = Callable[[], None]
"""Tells the workers that there is something to do; never raises."""
_FROM: Mapping[ImportMethod, ImageStatus] = {
    ImportMethod.GLANCE_DIRECT: ImageStatus.UPLOADING,
    ImportMethod.WEB_DOWNLOAD: ImageStatus.QUEUED,
    ImportMethod.GLANCE_DOWNLOAD: ImageStatus.QUEUED,
    ImportMethod.LOCATION: ImageStatus.QUEUED,
    ImportMethod.COPY_IMAGE: ImageStatus.ACTIVE,
}
_HINTS: Mapping[ImportMethod, str] = {
    ImportMethod.GLANCE_DIRECT: "its data must be staged first, with PUT …/stage",
    ImportMethod.WEB_DOWNLOAD: "it must be queued: a record without data",
    ImportMethod.GLANCE_DOWNLOAD: "it must be queued: a record without data",
    ImportMethod.LOCATION: "it must be queued: a record without data",
    ImportMethod.COPY_IMAGE: "it must be active to be copied",
}


def check_request(image: Image, request: ImportRequest) -> None:
    """Return if the conversion that an import asks for, if any, is one of those there are.

    Raises:
        ConversionInvalid: it is not.
    """
    if request.convert_to and not same_format(image.disk_format, request.convert_to):
        check_container(image, "compressed")
        check_conversion(image.disk_format, request.convert_to, compress=False)


@dataclass(frozen=True)
class Imports:
    """Begin an import, or begin a failed one again."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    fetcher: Fetcher
    regions: Sequence[str]
    """The other catalogs that images can be read from."""
    methods: Sequence[ImportMethod]
    """What this deployment allows."""
    stores: Sequence[str]
    """Where data can be put."""
    default_store: str
    clock: Clock
    new_id: IdSource
    quotas: ProjectQuotas
    places: Places
    ring: Ring

    def start(
        self, context: RequestContext, image_id: str, body: object, store: str | None = None
    ) -> Task:
        """Begin what `body` asks for; the task that does it. `store` is the one for data whose
        body names none.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`.
            ImportInvalid, FetchRefused: the body is malformed, or its URL not allowed.
            FormatsMissing: a format is not set.
            ImportConflict: the image's state or the named stores do not allow it.
            LocationInvalid: there is no data at the URL that could be read.
            QuotaExceeded: the project has no room.
        """
        request = parse_import(body)
        self._check_allowed(request)
        return self.begin(context, image_id, body, request, store)

    def begin(
        self,
        context: RequestContext,
        image_id: str,
        body: object,
        request: ImportRequest,
        store: str | None = None,
    ) -> Task:
        """Begin what `request` says, which is what `body` says; whether it is offered is not asked.
        Raises as `start`."""
        is_place = request.method is ImportMethod.LOCATION
        place = self.places.find(context, request.uri) if is_place else None

        def work(transaction: Transaction) -> Task:
            image = self._find(transaction, context, image_id, request)
            check_request(image, request)
            if place is None:
                stores, given = self._targets(image, request, store), {}
            else:
                check_free(transaction, place.location)
                self.quotas.room(transaction, image.owner).check(place.size)
                stores, given = (place.location.store,), {"place": to_builtins(place.location)}
            now = self.clock.now()
            task = Task(
                id=self.new_id(),
                type=IMPORT_TASK,
                owner=image.owner,
                image_id=image.id,
                user_id=context.user_id,
                request_id=context.request_id,
                input={"image_id": image.id, "import_req": body, "backend": list(stores), **given},
                context=context.to_dict(),
                created_at=now,
                updated_at=now,
            )
            self.admit(transaction, context, task, image, ImportPlan(request, stores))
            transaction.tasks.add(task)
            return task

        task = self.unit_of_work.write(work)
        self.ring()
        return task

    def admit(
        self,
        transaction: Transaction,
        context: RequestContext,
        task: Task,
        image: Image,
        plan: ImportPlan,
    ) -> None:
        """Put the image into the task's hands, in the transaction that makes the task.

        Raises:
            ImportConflict, FormatsMissing, QuotaExceeded: see `start`.
        """
        request = plan.request
        _check_state(image, request)
        if request.method is not ImportMethod.GLANCE_DOWNLOAD:
            formats_of(image)  # another catalog's image brings its own
        if request.method in (ImportMethod.WEB_DOWNLOAD, ImportMethod.GLANCE_DOWNLOAD):
            self.quotas.check_new_stage(transaction, image.owner).check(1)
        self.quotas.room(transaction, image.owner).check(image.size or 1)
        kept = transaction.images.update(begin(image, task.id, plan.stores))
        self.events.record_task(transaction, context, "task.create", task)
        if kept.status is ImageStatus.IMPORTING and image.status is ImageStatus.QUEUED:
            self.events.record(transaction, context, "image.prepare", kept)

    def check_uri(self, uri: str) -> None:
        """Return if data may be read from a URL, as far as its text tells.

        Raises:
            FetchRefused: it may not.
        """
        self.fetcher.check(uri)

    def _check_allowed(self, request: ImportRequest) -> None:
        if request.method not in self.methods:
            raise ImportInvalid(
                f"The import method {request.method.value} is not offered here; methods are: "
                f"{', '.join(each.value for each in self.methods)}"
            )
        if request.method is ImportMethod.WEB_DOWNLOAD:
            self.check_uri(request.uri)
        if request.method is ImportMethod.GLANCE_DOWNLOAD and request.region not in self.regions:
            raise ImportInvalid(
                f"No catalog is known as {request.region[:64]!r}; known are: "
                f"{', '.join(self.regions) or 'none'}"
            )

    def _find(
        self,
        transaction: Transaction,
        context: RequestContext,
        image_id: str,
        request: ImportRequest,
    ) -> Image:
        if request.method is ImportMethod.COPY_IMAGE:
            return self.access.find(transaction, context, image_id, "copy_image")
        if request.method is ImportMethod.LOCATION:
            return self.access.find(transaction, context, image_id, "add_image_location")
        return self.access.find(transaction, context, image_id, "import_image")

    def _targets(self, image: Image, request: ImportRequest, store: str | None) -> tuple[str, ...]:
        if request.all_stores:
            wanted: tuple[str, ...] = tuple(self.stores)
        else:
            wanted = request.stores or (store or self.default_store,)
        unknown = [each for each in wanted if each not in self.stores]
        if unknown:
            raise ImportConflict(
                f"There is no store {unknown[0][:64]!r}; stores are: {', '.join(self.stores)}",
                store=unknown[0][:64],
            )
        if request.method is not ImportMethod.COPY_IMAGE:
            return wanted
        present = {each.store for each in image.locations}
        if not request.all_stores and present.intersection(wanted):
            there = ", ".join(sorted(present.intersection(wanted)))
            raise ImportConflict(
                f"Image {image.id} has its data in {there} already", image_id=image.id
            )
        left = tuple(each for each in wanted if each not in present)
        if not left and image.status is ImageStatus.ACTIVE:
            raise ImportConflict(
                f"Image {image.id} has its data in every store already", image_id=image.id
            )
        return left


def check_free(transaction: Transaction, location: Location) -> None:
    """Return if no image has this blob: whoever is deleted first would take it from the other.

    Raises:
        ImportConflict: one has.
    """
    if location.ours and transaction.images.has_blob(location.store, location.key):
        raise ImportConflict("That data is another image's already", store=location.store)


def _check_state(image: Image, request: ImportRequest) -> None:
    method = request.method
    if image.imports is not None and image.imports.task is not None:
        raise ImportConflict(
            f"Image {image.id} is being imported by task {image.imports.task}; wait for it, or "
            "cancel it",
            image_id=image.id,
            task_id=image.imports.task,
        )
    staged = image.staged is not None or method is not ImportMethod.GLANCE_DIRECT
    if image.status is not _FROM[method] or not staged:
        raise ImportConflict(
            f"Image {image.id} is {image.status.value}; for {method.value} {_HINTS[method]}",
            image_id=image.id,
            status=image.status.value,
        )
