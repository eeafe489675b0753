"""The HTTP driver against web servers that know ranges, and that do not."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from contracts.blob_store import ReadOnlyContract, read_all
from kilo_catalog.stores.base import BlobStore, KeyInvalid, StoreUnavailable
from kilo_catalog.stores.http import HttpStore
from kilo_catalog.stores.registry import open_store
from kilo_common.fetch.policy import FetchPolicy

LARGE = bytes(range(256)) * (20 << 12)
FILES = {"/digits": b"0123456789", "/large": LARGE, "/empty": b""}


class Handler(BaseHTTPRequestHandler):
    """Serves FILES, with ranges or without."""

    def __init__(self, *args: object, ranges: bool, asked: list[str]) -> None:
        self.ranges = ranges
        self.asked = asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        data = FILES.get(self.path)
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        if data is None:
            self.send_error(404)
            return
        if not (wanted and self.ranges):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
        else:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end = int(first), min(len(data), int(last) + 1)
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            data = data[start:end]
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class Web:
    """A web server in a thread."""

    def __init__(self, ranges: bool) -> None:
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, ranges=ranges, asked=self.asked)
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def web(request: pytest.FixtureRequest) -> Iterator[Web]:
    made = Web(request.param)
    yield made
    made.close()


@pytest.fixture
def store() -> BlobStore:
    return HttpStore(FetchPolicy(allow_loopback=True, ports=()))


class TestHttp(ReadOnlyContract):
    @pytest.fixture
    def key(self, web: Web) -> str:
        return f"{web.url}/digits"


def test_large_blobs_are_read_in_pieces(web: Web, store: BlobStore) -> None:
    reader = store.open(f"{web.url}/large", 1000)
    digest = hashlib.sha512()
    while piece := reader.read(1 << 20):
        digest.update(piece)
    reader.close()
    assert digest.hexdigest() == hashlib.sha512(LARGE[1000:]).hexdigest()
    assert len(web.asked) <= 4


def test_an_empty_blob_is_a_blob(web: Web, store: BlobStore) -> None:
    assert store.size(f"{web.url}/empty") == 0
    assert read_all(store, f"{web.url}/empty") == b""


def test_a_server_that_is_not_there_is_unavailable(store: BlobStore, unused_port: int) -> None:
    with pytest.raises(StoreUnavailable):
        store.size(f"http://127.0.0.1:{unused_port}/x")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "http://169.254.169.254/x", "http://example.org:22/x", "ftp://x/"]
)
def test_urls_that_lead_to_ourselves_are_refused(url: str) -> None:
    store = open_store("http")
    for verb in (store.open, store.size, store.location, store.delete):
        with pytest.raises(KeyInvalid):
            verb(url)
