"""The lanes of an ingest: whole, in order, through buffers that are used again, idle at the end."""

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor

import pytest

from kilo_catalog.service.ingest import DEPTH, Block, ingest
from kilo_catalog.stores.base import BlobWriter, StoreFull
from kilo_common.http.body import BodyBlocks

SIZE = 1000
DATA = os.urandom(SIZE * DEPTH * 20 + 17)


class Slow(BlobWriter):
    """Takes its time with each block, and looks at it at the end only."""

    def __init__(self, fails_at: int = -1) -> None:
        self.written: list[bytes] = []
        self.at_work = threading.Lock()
        self._fails_at = fails_at

    @property
    def offset(self) -> int:
        return sum(map(len, self.written))

    def write(self, data: bytes | memoryview) -> None:
        assert self.at_work.acquire(blocking=False), "two blocks at a time"
        try:
            if len(self.written) == self._fails_at:
                raise StoreFull("full")
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 300)
            self.written.append(bytes(data))
        finally:
            self.at_work.release()

    def commit(self, digest: str | None = None) -> int:
        raise AssertionError("not for ingest to do")

    def cancel(self) -> None:
        raise AssertionError("not for ingest to do")

    def suspend(self) -> int:
        raise AssertionError("not for ingest to do")


def body(data: bytes = DATA) -> BodyBlocks:
    environ = {"wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data))}
    return BodyBlocks(environ, SIZE)


def test_buffers_that_are_used_again_lose_nothing(executor: Executor) -> None:
    writer, blocks = Slow(), body()
    used: set[int] = set()

    def give_back(block: Block) -> None:
        assert isinstance(block, memoryview)
        used.add(id(block.obj))
        blocks.give_back(block)

    facts = ingest(blocks, writer, None, executor, check=lambda _: None, give_back=give_back)
    assert b"".join(writer.written) == DATA
    assert (facts.size, facts.os_hash_value) == (len(DATA), hashlib.sha512(DATA).hexdigest())
    assert facts.checksum == hashlib.md5(DATA).hexdigest()
    assert len(used) <= DEPTH + 1


def test_without_a_writer_data_is_only_looked_at(executor: Executor) -> None:
    facts = ingest([b"abc", b"def"], None, None, executor, check=lambda _: None)
    assert (facts.size, facts.checksum) == (6, hashlib.md5(b"abcdef").hexdigest())


@pytest.mark.parametrize("fails_at", [0, 1, DEPTH, 3 * DEPTH])
def test_a_store_that_fails_ends_it_with_nothing_at_work(executor: Executor, fails_at: int) -> None:
    writer = Slow(fails_at)
    with pytest.raises(StoreFull):
        ingest(body(), writer, None, executor, check=lambda _: None)
    assert not writer.at_work.locked()
    assert len(writer.written) == fails_at


def test_a_stream_that_fails_ends_it_with_nothing_at_work(executor: Executor) -> None:
    def blocks() -> Iterator[bytes]:
        yield from (DATA[at : at + SIZE] for at in range(0, SIZE * DEPTH * 2, SIZE))
        raise OSError("gone")

    writer = Slow()
    with pytest.raises(OSError, match="gone"):
        ingest(blocks(), writer, None, executor, check=lambda _: None)
    assert not writer.at_work.locked()


def test_what_is_refused_is_not_written(executor: Executor) -> None:
    def check(size: int) -> None:
        if size > 5 * SIZE:
            raise StoreFull("too much")

    writer = Slow()
    with pytest.raises(StoreFull, match="too much"):
        ingest(body(), writer, None, executor, check=check)
    assert len(writer.written) <= 5
