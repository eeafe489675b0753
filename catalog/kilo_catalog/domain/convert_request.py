"""The conversion of an image that has data: what is asked for, and the records on the way.

active ── begin ──▶ active, its data as before ── swap ──▶ active, with other data
queued ── begin ──▶ importing ── fill_with ──▶ active     (the new image of a conversion)
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, structs

from kilo_catalog.domain.image import DataFacts, Image, Location
from kilo_catalog.domain.task import Task
from kilo_catalog.errors import ConversionInvalid

CONVERT_TASK = "image_convert"
"""The type of tasks that `POST /v2/images/ID/actions/convert` makes."""
_LONGEST_NAME = 255


class ConvertRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a conversion."""

    disk_format: str
    """To convert to."""
    in_place: bool = False
    """Give the image other data, instead of making a new image."""
    compress: bool = False
    name: str | None = None
    """The new image's; None: the old one's and the format."""
    stores: tuple[str, ...] = ()
    """Where the new image's data goes; none: the default store."""


class ConvertPlan(Struct, frozen=True, kw_only=True):
    """What the task of a conversion is to do, as its record says."""

    source_id: str
    """The image whose data is converted; in place, the task's own."""
    disk_format: str
    compress: bool
    in_place: bool
    backend: tuple[str, ...]
    """The stores that get the data."""


def parse_conversion(body: object) -> ConvertRequest:
    """The body of a conversion.

    Raises:
        ConversionInvalid: it is malformed; the sentence says where.
    """
    try:
        request = msgspec.convert(body, ConvertRequest)
    except msgspec.ValidationError as fault:
        raise ConversionInvalid(
            'A conversion is asked for like this: {"disk_format": "raw", "in_place": false, '
            f'"compress": false, "name": "…", "stores": ["…"]}}; {fault}'
        ) from None
    if request.in_place and (request.name is not None or request.stores):
        raise ConversionInvalid(
            "A conversion in place keeps the image's name and stores; leave out name and stores"
        )
    if request.name is not None and len(request.name) > _LONGEST_NAME:
        raise ConversionInvalid(f"name must have at most {_LONGEST_NAME} characters")
    return request


def input_of(plan: ConvertPlan) -> dict[str, Any]:
    """`plan` as a task's record keeps it."""
    found: dict[str, Any] = msgspec.to_builtins(plan)
    return found


def conversion_of(task: Task) -> ConvertPlan:
    """What the task of a conversion is to do.

    Raises:
        ConversionInvalid: its record says nothing that this release understands.
    """
    given: Mapping[str, Any] = task.input
    try:
        return msgspec.convert(given, ConvertPlan)
    except msgspec.ValidationError as fault:
        raise ConversionInvalid(f"The task's input cannot be understood: {fault}") from None


def swap(image: Image, locations: Sequence[Location], facts: DataFacts, now: datetime) -> Image:
    """`image` with other data in place of what it has."""
    return structs.replace(
        image,
        size=facts.size,
        virtual_size=facts.virtual_size,
        checksum=facts.checksum,
        os_hash_algo=facts.os_hash_algo,
        os_hash_value=facts.os_hash_value,
        findings=facts.findings,
        locations=tuple(locations),
        updated_at=now,
    )
