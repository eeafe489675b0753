"""Conversions of images that have data: asked for here, done by a task."""

from collections.abc import Sequence
from dataclasses import dataclass

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.attributes import RESERVED_PREFIX
from kilo_catalog.domain.conversion import (
    COMPRESSIBLE,
    PROPERTY,
    SOURCES,
    check_container,
    check_conversion,
    same_format,
)
from kilo_catalog.domain.convert_request import (
    CONVERT_TASK,
    ConvertPlan,
    ConvertRequest,
    conversion_of,
    input_of,
    parse_conversion,
)
from kilo_catalog.domain.findings import PREFIX
from kilo_catalog.domain.image import Image, ImageStatus
from kilo_catalog.domain.importing import begin
from kilo_catalog.domain.signed import SIGNATURE_PROPERTIES
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ConversionInvalid, ImportConflict
from kilo_catalog.imaging.settings import ConversionSettings
from kilo_catalog.service.access import Access
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.images import Images
from kilo_catalog.service.imports import Ring
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource

_STAYS = (PREFIX, RESERVED_PREFIX)
"""What the properties begin with that tell of the old image's data, not of what it is for."""


@dataclass(frozen=True)
class Conversions:
    """Begin a conversion, or begin a failed one again."""

    unit_of_work: UnitOfWork
    access: Access
    events: EventRecorder
    images: Images
    settings: ConversionSettings
    stores: Sequence[str]
    """Where data can be put."""
    default_store: str
    clock: Clock
    new_id: IdSource
    quotas: ProjectQuotas
    ring: Ring

    def start(self, context: RequestContext, image_id: str, body: object) -> Task:
        """Begin what `body` asks for; the task that does it. Its image is the one that will have
        the converted data: this one, or a new one of the caller's.

        Raises:
            ImageNotFound, PolicyForbids: see `Access.find`; a new image needs the right to download
                the old one and to make images.
            ConversionInvalid: the body is malformed, or there is no such conversion.
            ImportConflict: the image's state or the named stores do not allow it.
            QuotaExceeded, PropertyProtected: see `Images.create`.
        """
        request = parse_conversion(body)
        rule = "convert_image" if request.in_place else "download_image"
        source = self.unit_of_work.read(lambda tx: self.access.find(tx, context, image_id, rule))
        _check_source(source, request)
        plan = ConvertPlan(
            source_id=source.id,
            disk_format=request.disk_format,
            compress=request.compress,
            in_place=request.in_place,
            backend=self._stores(source, request),
        )
        image = source if request.in_place else self._new_image(context, source, request)

        def work(transaction: Transaction) -> Task:
            return self._add(transaction, context, transaction.images.get(image.id), plan)

        task = self.unit_of_work.write(work)
        self.ring()
        return task

    def admit(
        self, transaction: Transaction, context: RequestContext, task: Task, image: Image
    ) -> None:
        """Put the image into the task's hands, in the transaction that makes or renews the task.

        Raises:
            ImportConflict: it is not as the task needs it.
            ImageNotFound, PolicyForbids: the image to convert is not there (any more), or the
                caller may not have its data.
            QuotaExceeded: the project has no room.
        """
        plan = conversion_of(task)
        if image.imports is not None and image.imports.task is not None:
            raise ImportConflict(
                f"Image {image.id} is in the hands of task {image.imports.task}; wait for it, or "
                "cancel it",
                image_id=image.id,
                task_id=image.imports.task,
            )
        ready = ImageStatus.ACTIVE if plan.in_place else ImageStatus.QUEUED
        if image.status is not ready:
            raise ImportConflict(
                f"Image {image.id} is {image.status.value}; only an image with data is converted, "
                "into one without",
                image_id=image.id,
                status=image.status.value,
            )
        if not plan.in_place:
            source = self.access.find(transaction, context, plan.source_id, "download_image")
            self.quotas.room(transaction, image.owner).check(source.size or 1)
        kept = transaction.images.update(begin(image, task.id, plan.backend))
        self.events.record_task(transaction, context, "task.create", task)
        if kept.status is ImageStatus.IMPORTING:
            self.events.record(transaction, context, "image.prepare", kept)

    def check_upload(self, image: Image) -> None:
        """Return if the conversion that an image asks for by a property, if any, is one of those
        there are.

        Raises:
            ConversionInvalid: it is not.
        """
        target = image.properties.get(PROPERTY, "")
        if target and not same_format(image.disk_format, target):
            check_container(image)
            check_conversion(image.disk_format, target, compress=False)

    def follow_upload(
        self, transaction: Transaction, context: RequestContext, image: Image
    ) -> Task | None:
        """The task that converts an image just uploaded, if the image or the configuration says so;
        in the transaction that made it active."""
        settings = self.settings
        target = image.properties.get(PROPERTY, "")
        can = image.disk_format in SOURCES and image.container_format == "bare"
        if not target and settings.uploads and can:
            target = settings.target
        if not target or same_format(image.disk_format, target):
            return None
        plan = ConvertPlan(
            source_id=image.id,
            disk_format=target,
            compress=settings.compress and target in COMPRESSIBLE,
            in_place=True,
            backend=tuple(each.store for each in image.locations),
        )
        return self._add(transaction, context, image, plan)

    def _add(
        self, transaction: Transaction, context: RequestContext, image: Image, plan: ConvertPlan
    ) -> Task:
        now = self.clock.now()
        task = Task(
            id=self.new_id(),
            type=CONVERT_TASK,
            owner=image.owner,
            image_id=image.id,
            user_id=context.user_id,
            request_id=context.request_id,
            input=input_of(plan),
            context=context.to_dict(),
            created_at=now,
            updated_at=now,
        )
        self.admit(transaction, context, task, image)
        transaction.tasks.add(task)
        return task

    def _stores(self, source: Image, request: ConvertRequest) -> tuple[str, ...]:
        if request.in_place:
            there = [each.store for each in source.locations if each.store in self.stores]
            return tuple(dict.fromkeys(there)) or (self.default_store,)
        wanted = tuple(dict.fromkeys(request.stores)) or (self.default_store,)
        unknown = [each for each in wanted if each not in self.stores]
        if unknown:
            raise ImportConflict(
                f"There is no store {unknown[0][:64]!r}; stores are: {', '.join(self.stores)}",
                store=unknown[0][:64],
            )
        return wanted

    def _new_image(self, context: RequestContext, source: Image, request: ConvertRequest) -> Image:
        name = request.name
        if name is None:
            name = f"{source.name or source.id} ({request.disk_format})"[:255]
        dropped = (*SIGNATURE_PROPERTIES, PROPERTY)
        properties = {
            key: value
            for key, value in self.images.protections.readable(context, source).properties.items()
            if key not in dropped and not key.startswith(_STAYS)
        }
        allowed = self.images.protections.creatable(context, source, properties)
        about = {
            "name": name,
            "disk_format": source.disk_format,
            "container_format": source.container_format,
            "min_disk": source.min_disk,
            "min_ram": source.min_ram,
        }
        return self.images.create(context, {**allowed, **about})


def _check_source(source: Image, request: ConvertRequest) -> None:
    if source.status is not ImageStatus.ACTIVE or not source.locations:
        raise ImportConflict(
            f"Image {source.id} is {source.status.value}; only an active image is converted",
            image_id=source.id,
            status=source.status.value,
        )
    check_container(source)
    check_conversion(source.disk_format, request.disk_format, compress=request.compress)
    if same_format(source.disk_format, request.disk_format) and not request.compress:
        raise ConversionInvalid(
            f"Image {source.id} is {source.disk_format} already", image_id=source.id
        )
