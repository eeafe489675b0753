"""The Swift driver against a server that speaks the protocol."""

import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.blob_store import KEY, BlobStoreContract, put
from kilo_catalog.stores.base import BlobNotFound, BlobStore, StoreFull, StoreUnavailable
from kilo_catalog.stores.registry import open_store
from kilo_catalog.stores.settings import SwiftSettings
from kilo_catalog.stores.swift import writer
from kilo_common.errors import ConfigInvalid


def open_swift(auth_url: str, **changes: Any) -> BlobStore:
    values = {
        "auth_url": auth_url, "auth_version": "1", "user": "test:tester", "password": "secret",
        "container": uuid.uuid4().hex, "segment_size": 1 << 20,
    }  # fmt: skip
    return open_store("swift", swift=SwiftSettings(**(values | changes)))


def left(store: Any) -> list[str]:
    objects = store._objects
    return [
        found.name
        for container in (objects.container, objects.segments)
        for found in objects.list(container, "")
    ]


class TestSwift(BlobStoreContract):
    LARGE = 5 << 20

    @pytest.fixture
    def store(self, swift_auth_url: str) -> Iterator[BlobStore]:
        store = open_swift(swift_auth_url)
        yield store
        assert left(store) == []

    @pytest.fixture
    def sibling(self, swift_auth_url: str) -> BlobStore:
        return open_swift(swift_auth_url)


class TestSwiftWithTemporaryUrls(TestSwift):
    @pytest.fixture
    def store(self, swift_auth_url: str) -> BlobStore:
        return open_swift(swift_auth_url, temp_url_key="temp-url-key")


def test_a_temporary_url_reads_without_a_token(swift_auth_url: str) -> None:
    store = open_swift(swift_auth_url, temp_url_key="temp-url-key")
    put(store, KEY, b"0123456789")
    url = store.presign(KEY, 60)
    assert url is not None
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"0123456789"
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(url.replace(KEY, "other"))
    refused.value.close()


def test_a_wrong_password_and_a_missing_server_are_told(
    swift_auth_url: str, unused_port: int
) -> None:
    for store in (
        open_swift(swift_auth_url, password="wrong"),
        open_swift(f"http://127.0.0.1:{unused_port}/auth/v1.0"),
    ):
        with pytest.raises(StoreUnavailable):
            store.size(KEY)


def test_a_reader_says_that_the_blob_went(swift_auth_url: str) -> None:
    store = open_swift(swift_auth_url)
    put(store, KEY, b"abc")
    reader = store.open(KEY)
    store.delete(KEY)
    with pytest.raises(BlobNotFound):
        reader.read(1)


def test_more_segments_than_a_manifest_takes_are_refused(
    swift_auth_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_SEGMENTS", 2)
    store = open_swift(swift_auth_url)
    begun = store.create(KEY)
    with pytest.raises(StoreFull, match="segment_size"):
        begun.write(bytes(4 << 20))
    begun.cancel()
    assert left(store) == []


def test_where_to_sign_in_is_needed() -> None:
    with pytest.raises(ConfigInvalid, match="auth_url"):
        open_store("swift")
