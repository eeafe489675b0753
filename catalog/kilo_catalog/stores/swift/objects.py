"""What we ask of Swift, and the one place that knows its client and the client's errors.

Each call is one whole request; connections are kept per thread, since under gevent they belong to
the thread that opened them.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from keystoneauth1 import session as keystone_session
from keystoneauth1.exceptions import ClientException as KeystoneError
from keystoneauth1.identity import v3
from msgspec import Struct, json
from requests.exceptions import RequestException
from swiftclient import ClientException, Connection
from swiftclient.utils import generate_temp_url

from kilo_catalog.stores.base import StoreFull, StoreUnavailable
from kilo_catalog.stores.settings import SwiftSettings

T = TypeVar("T")
_FULL = frozenset({413, 507})


class Gone(Exception):
    """There is no such object."""


class Taken(Exception):
    """There is an object of that name already."""


class Found(Struct, frozen=True):
    """An object in a listing."""

    name: str
    size: int
    modified: datetime


class Segment(Struct, frozen=True):
    """A part of a large object, as a manifest names it."""

    path: str
    size_bytes: int


class SwiftObjects:
    """Objects of the two containers."""

    def __init__(self, settings: SwiftSettings) -> None:
        self.settings = settings
        self.container = settings.container
        self.segments = f"{settings.container}_segments"
        self._local = threading.local()
        self._made = False

    def put(self, container: str, name: str, body: bytes = b"", *, if_absent: bool = False) -> str:
        """Make an object, and return its etag. Raises Taken with `if_absent`, if there is one."""
        headers = {"If-None-Match": "*"} if if_absent else {}
        etag: str = self._call(
            lambda swift: swift.put_object(
                container, name, contents=body, content_length=len(body), headers=headers
            )
        )
        return etag.strip('"')

    def put_manifest(self, name: str, segments: Sequence[Segment]) -> None:
        """Make a large object of its segments, if there is none. Raises Taken."""
        self._call(
            lambda swift: swift.put_object(
                self.container,
                name,
                contents=json.encode(segments),
                query_string="multipart-manifest=put",
                headers={"If-None-Match": "*"},
            )
        )

    def copy_segment(self, source: str, name: str) -> None:
        """Let the server copy a segment; `source` names its container as well. Raises Gone."""
        headers = {"X-Copy-From": source}
        self._call(
            lambda swift: swift.put_object(
                self.segments, name, contents=b"", content_length=0, headers=headers
            )
        )

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of an object; at least one must exist at `offset`. Raises Gone."""
        headers = {}
        if length is not None:
            headers["Range"] = f"bytes={offset}-{offset + length - 1}"
        body: bytes = self._call(
            lambda swift: swift.get_object(self.container, name, headers=headers)
        )[1]
        return body

    def size(self, name: str) -> int:
        """The bytes of an object. Raises Gone."""
        headers = self._call(lambda swift: swift.head_object(self.container, name))
        return int(headers["content-length"])

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        try:
            self.size(name)
        except Gone:
            return False
        return True

    def delete(self, container: str, name: str) -> bool:
        """Remove an object, and not what it is made of; whether there was one."""
        try:
            self._call(lambda swift: swift.delete_object(container, name))
        except Gone:
            return False
        return True

    def list(self, container: str, prefix: str) -> Iterator[Found]:
        """The objects whose names begin with `prefix`, by name."""
        _headers, listing = self._call(
            lambda swift: swift.get_container(container, prefix=prefix, full_listing=True)
        )
        for each in listing:
            modified = datetime.fromisoformat(each["last_modified"]).replace(tzinfo=UTC)
            yield Found(each["name"], each["bytes"], modified)

    def presign(self, name: str, seconds: int) -> str:
        """A URL that reads an object."""
        swift = self._of_thread()
        url: str = self._call(lambda swift: swift.get_auth())[0] if not swift.url else swift.url
        parts = urlsplit(url)
        path = f"{parts.path}/{self.container}/{name}"
        signed: str = generate_temp_url(
            path, seconds, self.settings.temp_url_key, "GET", digest="sha256"
        )
        return f"{parts.scheme}://{parts.netloc}{signed}"

    def _call(self, ask: Callable[[Connection], T]) -> T:
        try:
            swift = self._of_thread()
            if not self._made:
                for container in (self.container, self.segments):
                    swift.put_container(container)
                self._made = True
            return ask(swift)
        except ClientException as fault:
            if fault.http_status == 404:
                raise Gone(str(fault)) from fault
            if fault.http_status == 412:
                raise Taken(str(fault)) from fault
            if fault.http_status in _FULL:
                raise StoreFull(f"The object store takes no more: {fault}") from fault
            raise StoreUnavailable(f"The object store refuses: {fault}") from fault
        except (RequestException, KeystoneError, OSError) as fault:
            raise StoreUnavailable(f"The object store does not answer: {fault}") from fault

    def _of_thread(self) -> Connection:
        swift = getattr(self._local, "swift", None)
        if swift is None:
            swift = self._local.swift = _connect(self.settings)
        return swift


def _connect(settings: SwiftSettings) -> Connection:
    common: dict[str, Any] = {"retries": 2, "starting_backoff": 0.2, "timeout": 60}
    if settings.auth_version == "1":
        return Connection(
            settings.auth_url, settings.user, settings.password, auth_version="1", **common
        )
    auth = v3.Password(
        settings.auth_url,
        username=settings.user,
        password=settings.password,
        project_name=settings.project,
        user_domain_name=settings.domain,
        project_domain_name=settings.domain,
    )
    options = {"region_name": settings.region} if settings.region else {}
    return Connection(session=keystone_session.Session(auth=auth), os_options=options, **common)
