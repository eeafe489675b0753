"""Resumable uploads of image data: tus 1.0.0, core with creation, creation-with-upload, expiration
and termination (https://tus.io/protocols/resumable-upload)."""

from collections.abc import Mapping
from datetime import timedelta
from email.utils import format_datetime

from flask import Blueprint, Response, request

from kilo_catalog.errors import MediaTypeUnsupported, TusUnsupported, UploadHeaderInvalid
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context
from kilo_catalog.service.resumable import ResumableUploads, UploadState, decode_metadata
from kilo_common.clock import Clock
from kilo_common.http.body import BodyBlocks

VERSION = "1.0.0"
BYTES = "application/offset+octet-stream"
EXTENSIONS = "creation,creation-with-upload,expiration,termination"
METADATA_MOST = 4096
_COLLECTION = "/v2/images/<image_id>/uploads"
_ONE = f"{_COLLECTION}/<upload_id>"


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images/ID/uploads`."""
    routes = Blueprint("uploads", __name__)
    uploads = services.uploads
    answers = _Answers(services.clock, uploads.kept_for, services.limits.image_size)

    @routes.route(_COLLECTION, methods=["OPTIONS"], provide_automatic_options=False)
    def describe(image_id: str) -> Response:
        del image_id
        return answers.options()

    @routes.route(_ONE, methods=["OPTIONS"], provide_automatic_options=False)
    def describe_one(image_id: str, upload_id: str) -> Response:
        del image_id, upload_id
        return answers.options()

    @routes.post(_COLLECTION)
    def create(image_id: str) -> Response:
        _check_version()
        length, metadata = _whole("Upload-Length"), request.headers.get("Upload-Metadata", "")
        store = _metadata(metadata).get("store") or request.headers.get("x-image-meta-store")
        state = uploads.create(context(), image_id, length, metadata, store)
        base = (services.public_url or request.host_url).rstrip("/")
        headers = {"Location": f"{base}/v2/images/{image_id}/uploads/{state.id}"}
        if request.mimetype == BYTES and length:
            state = _append(services, uploads, image_id, state.id, 0)
            headers["Upload-Offset"] = str(state.offset)
        return answers.state(state, 201, headers)

    @routes.route(_ONE, methods=["HEAD"])
    def status(image_id: str, upload_id: str) -> Response:
        _check_version()
        state = uploads.status(context(), image_id, upload_id)
        headers = {
            "Upload-Offset": str(state.offset),
            "Upload-Length": str(state.length),
            "Cache-Control": "no-store",
        }
        if state.metadata:
            headers["Upload-Metadata"] = state.metadata
        return answers.state(state, 200, headers)

    @routes.patch(_ONE)
    def append(image_id: str, upload_id: str) -> Response:
        _check_version()
        if request.mimetype != BYTES:
            raise MediaTypeUnsupported(f"A PATCH of an upload must be {BYTES}", headers=answers.own)
        state = _append(services, uploads, image_id, upload_id, _whole("Upload-Offset"))
        return answers.state(state, 204, {"Upload-Offset": str(state.offset)})

    @routes.delete(_ONE)
    def terminate(image_id: str, upload_id: str) -> Response:
        _check_version()
        uploads.terminate(context(), image_id, upload_id)
        return answers.plain(204)

    return routes


class _Answers:
    """What all answers of the protocol have."""

    def __init__(self, clock: Clock, kept_for: timedelta, most: int) -> None:
        self._clock = clock
        self._kept_for = kept_for
        self._most = most
        self.own = {"Tus-Resumable": VERSION}

    def options(self) -> Response:
        """What the server can do."""
        return self.plain(
            204,
            {
                "Tus-Version": VERSION,
                "Tus-Extension": EXTENSIONS,
                "Tus-Max-Size": str(self._most),
            },
        )

    def state(self, state: UploadState, status: int, headers: Mapping[str, str]) -> Response:
        """An upload's state; one that goes on says until when it is kept."""
        if state.offset < state.length:
            until = self._clock.now() + self._kept_for
            headers = {**headers, "Upload-Expires": format_datetime(until, usegmt=True)}
        return self.plain(status, headers)

    def plain(self, status: int, headers: Mapping[str, str] | None = None) -> Response:
        """An answer without a body."""
        response = Response(status=status, headers={**self.own, **(headers or {})})
        del response.headers["Content-Type"]
        return response


def _append(
    services: ApiServices, uploads: ResumableUploads, image_id: str, upload_id: str, offset: int
) -> UploadState:
    blocks = BodyBlocks(request.environ, services.block_size)
    return uploads.append(context(), image_id, upload_id, offset, blocks)


def _check_version() -> None:
    if request.headers.get("Tus-Resumable") != VERSION:
        raise TusUnsupported(
            f"The header Tus-Resumable must be {VERSION}", headers={"Tus-Version": VERSION}
        )


def _whole(name: str) -> int:
    text = request.headers.get(name, "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise UploadHeaderInvalid(f"The header {name} must be a whole number of bytes", header=name)
    return int(text)


def _metadata(header: str) -> Mapping[str, str]:
    if len(header) > METADATA_MOST:
        raise UploadHeaderInvalid(f"Upload-Metadata has at most {METADATA_MOST} characters")
    try:
        return decode_metadata(header)
    except ValueError as fault:
        raise UploadHeaderInvalid(
            "Upload-Metadata must be pairs of a key and a base64 text, divided by commas",
            header="Upload-Metadata",
        ) from fault
