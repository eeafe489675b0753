"""The HTTP driver against web servers that know ranges, and that do not."""

import hashlib
from collections.abc import Iterator

import pytest

from contracts.blob_store import ReadOnlyContract, read_all
from kilo_catalog.stores.base import BlobStore, KeyInvalid, StoreUnavailable
from kilo_catalog.stores.http import HttpStore
from kilo_catalog.stores.registry import open_store
from kilo_common.fetch.policy import FetchPolicy
from support.web_files import Web

LARGE = bytes(range(256)) * (20 << 12)
FILES = {"/digits": b"0123456789", "/large": LARGE, "/empty": b""}


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def web(request: pytest.FixtureRequest) -> Iterator[Web]:
    made = Web(FILES, ranges=request.param)
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
