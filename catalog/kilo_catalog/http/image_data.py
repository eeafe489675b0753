"""Image data: upload and download."""

from flask import Blueprint, Response, request

from kilo_catalog.domain.image import Image
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import ImageTooLarge, MediaTypeUnsupported, UploadMismatch
from kilo_catalog.http.data_blocks import DataBlocks
from kilo_catalog.http.ranges import ByteRange, parse_range
from kilo_catalog.http.services import ApiServices
from kilo_catalog.http.wire import context, empty_response
from kilo_catalog.service.image_data import ImageData
from kilo_catalog.service.intake import Declared
from kilo_common.http.body import BodyBlocks, declared_length
from kilo_common.http.outbound import FileBody

DATA = "application/octet-stream"


def blueprint(services: ApiServices) -> Blueprint:
    """The routes of `/v2/images/ID/file`."""
    routes = Blueprint("image_data", __name__)
    data = services.image_data

    @routes.put("/v2/images/<image_id>/file")
    def upload(image_id: str) -> Response:
        if request.mimetype != DATA:
            raise MediaTypeUnsupported(f"Image data must be sent as {DATA}")
        declared = declared_data(services.limits)
        blocks = BodyBlocks(request.environ, services.block_size)
        data.upload(context(), image_id, blocks, declared)
        return empty_response()

    @routes.get("/v2/images/<image_id>/file")
    def download(image_id: str) -> Response:
        image = data.open(context(), image_id)
        if not image.locations:
            return empty_response()
        return _serve(data, image, services.block_size)

    return routes


def declared_data(limits: Limits) -> Declared:
    """What the request's headers say about the data it brings.

    Raises:
        ImageTooLarge: more than an image may have.
        UploadMismatch: a header is malformed.
    """
    length = declared_length(request.environ)
    if length is not None and length > limits.image_size:
        raise ImageTooLarge(
            f"An image may have at most {limits.image_size} bytes", limit=limits.image_size
        )
    size = request.headers.get("x-openstack-image-size", "").strip()
    if size and not (size.isascii() and size.isdigit() and len(size) <= 19):
        raise UploadMismatch("x-openstack-image-size must be a whole number of bytes")
    return Declared(
        size=int(size) if size else None,
        md5=request.headers.get("Content-MD5", "").strip() or None,
        store=request.headers.get("x-image-meta-store", "").strip() or None,
    )


def _serve(data: ImageData, image: Image, block_size: int) -> Response:
    size = image.size or 0
    headers = {"Accept-Ranges": "bytes", "Content-Type": DATA}
    etag = f'"{image.checksum}"'
    if image.checksum:
        headers["ETag"] = etag
        if request.if_none_match.contains(image.checksum):
            return Response(status=304, headers=headers)
    part = ByteRange(0, size)
    wanted = request.headers.get("Range")
    if wanted is not None and request.headers.get("If-Range", etag) == etag:
        part = parse_range(wanted, size)
        headers["Content-Range"] = part.content_range(size)
    elif image.checksum:
        headers["Content-MD5"] = image.checksum
    headers["Content-Length"] = str(part.length)
    status = 206 if "Content-Range" in headers else 200
    if request.method == "HEAD":
        return Response(status=status, headers=headers)
    prefer = [each.strip() for each in request.args.get("prefer", "").split(",")]
    file = data.file(image, prefer)
    if file is not None:
        return Response(
            FileBody(file, part.offset, part.length, piece=block_size),
            status,
            headers,
            direct_passthrough=True,
        )
    reader = data.read(image, part.offset, part.length, prefer)
    body = DataBlocks(data.read_block, reader, block_size)
    return Response(body, status, headers, direct_passthrough=True)
