"""The few things we ask of an S3 server, and the one place that knows boto3 and its errors.

Each call is one whole request: no connection is kept from one call of a reader or writer to the
next, so that these may be made from any thread. Clients are made per thread: under gevent a
connection belongs to the thread that opened it.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from kilo_catalog.stores.base import StoreFull, StoreUnavailable
from kilo_catalog.stores.settings import S3Settings

T = TypeVar("T")
_MISSING = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
_TAKEN = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "507", "EntityTooLarge"})


class Found(Struct, frozen=True):
    """What a server says about an object."""

    name: str
    size: int
    modified: datetime
    etag: str = ""
    metadata: Mapping[str, str] = {}


class Part(Struct, frozen=True):
    """A part of an upload that is on the server."""

    number: int
    etag: str
    size: int


class Gone(Exception):
    """There is no such object, or no such upload any more."""


class Taken(Exception):
    """There is an object of that name already."""


class S3Objects:
    """The objects of one bucket below one prefix. Names are given without the prefix."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._local = threading.local()
        self._making = threading.Lock()
        self._session = boto3.session.Session()

    def put(
        self,
        name: str,
        body: bytes = b"",
        metadata: Mapping[str, str] | None = None,
        *,
        if_absent: bool = False,
    ) -> None:
        """Make a small object. Raises Taken with `if_absent`, if there is one."""
        rest = {"IfNoneMatch": "*"} if if_absent else {}
        self._call(
            lambda s3: s3.put_object(**self._at(name), Body=body, Metadata=metadata or {}, **rest)
        )

    def get(self, name: str) -> Found:
        """What the server says about an object. Raises Gone."""
        head = self._call(lambda s3: s3.head_object(**self._at(name)))
        return Found(
            name, head["ContentLength"], head["LastModified"], head["ETag"], head["Metadata"]
        )

    def read(self, name: str, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """Bytes of an object; at least one must exist at `offset`. Raises Gone."""
        rest: dict[str, str] = {"IfMatch": etag} if etag else {}
        if offset or length is not None:
            rest["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"

        def read(s3: Any) -> bytes:
            with s3.get_object(**self._at(name), **rest)["Body"] as body:
                data: bytes = body.read()
            return data

        return self._call(read)

    def delete(self, name: str) -> None:
        """Remove an object. Harmless if there is none."""
        self._call(lambda s3: s3.delete_object(**self._at(name)))

    def list(self, folder: str) -> Iterator[Found]:
        """The objects below `folder`, which ends with a slash; names are given without it."""
        prefix = self.settings.prefix + folder
        token: dict[str, str] = {}
        while True:
            asked = {"Bucket": self.settings.bucket, "Prefix": prefix, **token}
            page = self._call(lambda s3, asked=asked: s3.list_objects_v2(**asked))  # type: ignore[misc]
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix(prefix)
                yield Found(name, each["Size"], each["LastModified"], each["ETag"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        try:
            self.get(name)
        except Gone:
            return False
        return True

    def begin(self, name: str) -> str:
        """Begin an upload in parts, and return its id."""
        upload_id: str = self._call(lambda s3: s3.create_multipart_upload(**self._at(name)))[
            "UploadId"
        ]
        return upload_id

    def send(self, name: str, upload_id: str, number: int, data: bytes) -> Part:
        """Send a part. Raises Gone if the upload was given up."""
        sent = self._call(
            lambda s3: s3.upload_part(
                **self._at(name), UploadId=upload_id, PartNumber=number, Body=data
            )
        )
        return Part(number, sent["ETag"], len(data))

    def send_copy(
        self, name: str, upload_id: str, number: int, source: Mapping[str, str], part: range
    ) -> Part:
        """Let the server copy a range of `source` (Bucket and Key) into a part. Raises Gone."""
        sent = self._call(
            lambda s3: s3.upload_part_copy(
                **self._at(name),
                UploadId=upload_id,
                PartNumber=number,
                CopySource=dict(source),
                CopySourceRange=f"bytes={part.start}-{part.stop - 1}",
            )
        )
        return Part(number, sent["CopyPartResult"]["ETag"], len(part))

    def parts(self, name: str, upload_id: str) -> Sequence[Part]:
        """The parts that were sent, in order. Raises Gone."""
        found: list[Part] = []
        marker: dict[str, int] = {}
        while True:
            asked = {**self._at(name), "UploadId": upload_id, **marker}
            page = self._call(lambda s3, asked=asked: s3.list_parts(**asked))  # type: ignore[misc]
            found += [
                Part(each["PartNumber"], each["ETag"], each["Size"])
                for each in page.get("Parts", ())
            ]
            if not page.get("IsTruncated"):
                return found
            marker = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def complete(self, name: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make the object of its parts, if there is none. Raises Gone, Taken."""
        named = [{"PartNumber": each.number, "ETag": each.etag} for each in parts]
        self._call(
            lambda s3: s3.complete_multipart_upload(
                **self._at(name),
                UploadId=upload_id,
                MultipartUpload={"Parts": named},
                IfNoneMatch="*",
            )
        )

    def abort(self, name: str, upload_id: str) -> None:
        """Give up an upload. Harmless if it is gone."""
        try:
            self._call(lambda s3: s3.abort_multipart_upload(**self._at(name), UploadId=upload_id))
        except Gone:
            return

    def presign(self, name: str, seconds: int) -> str:
        """A URL that reads an object."""
        with self._making:
            public = self.settings.public_endpoint or self.settings.endpoint
            client = self._client(public)
        url: str = client.generate_presigned_url(
            "get_object", Params=self._at(name), ExpiresIn=seconds
        )
        return url

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.settings.bucket, "Key": self.settings.prefix + name}

    def _call(self, ask: Callable[[Any], T]) -> T:
        try:
            return ask(self._of_thread())
        except ClientError as fault:
            error = fault.response.get("Error", {})
            code = str(error.get("Code", ""))
            if code in _MISSING:
                raise Gone(code) from fault
            if code in _TAKEN:
                raise Taken(code) from fault
            if code in _FULL:
                raise StoreFull(f"The object store takes no more: {fault}") from fault
            raise StoreUnavailable(f"The object store refuses: {fault}") from fault
        except (BotoCoreError, OSError) as fault:
            raise StoreUnavailable(f"The object store does not answer: {fault}") from fault

    def _of_thread(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            with self._making:  # a session makes one client at a time
                client = self._local.client = self._client(self.settings.endpoint)
        return client

    def _client(self, endpoint: str) -> Any:
        settings = self.settings
        return self._session.client(
            "s3",
            endpoint_url=endpoint or None,
            region_name=settings.region,
            aws_access_key_id=settings.access_key or None,
            aws_secret_access_key=settings.secret_key or None,
            config=Config(
                s3={"addressing_style": "path" if settings.path_style else "auto"},
                signature_version="s3v4",
                retries={"mode": "standard", "max_attempts": 4},
                connect_timeout=10,
                read_timeout=60,
                # Checksums of the newest kind are unknown to many servers that speak S3.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
