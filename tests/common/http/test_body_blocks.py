"""A body in blocks: whole, in order, through few buffers, and never taken for whole when cut."""

import io
from typing import Any

import pytest

from kilo_common.http.body import BodyBlocks, BodyTruncated

DATA = bytes(range(256)) * 40


class Plain:
    """A source that only reads, a little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, 700))


def environ(source: Any, length: int | None) -> dict[str, Any]:
    if length is None:
        return {"wsgi.input": source, "HTTP_TRANSFER_ENCODING": "chunked"}
    return {"wsgi.input": source, "CONTENT_LENGTH": str(length)}


@pytest.mark.parametrize("kind", [io.BytesIO, Plain])
@pytest.mark.parametrize("length", [len(DATA), None])
def test_all_bytes_come_in_order(kind: Any, length: int | None) -> None:
    blocks = BodyBlocks(environ(kind(DATA), length), 1000)
    received = []
    for block in blocks:
        assert len(block) <= 1000
        received.append(bytes(block))
        blocks.give_back(block)
    assert b"".join(received) == DATA


def test_a_buffer_that_was_given_back_is_used_again() -> None:
    blocks = BodyBlocks(environ(io.BytesIO(DATA), len(DATA)), 1000)
    seen = set()
    for block in blocks:
        assert isinstance(block, memoryview)
        seen.add(id(block.obj))
        blocks.give_back(block)
    assert len(seen) == 1


def test_a_block_that_is_held_stays_as_it_is() -> None:
    blocks = list(BodyBlocks(environ(io.BytesIO(DATA), len(DATA)), 1000))
    assert b"".join(map(bytes, blocks)) == DATA


@pytest.mark.parametrize("kind", [io.BytesIO, Plain])
def test_a_body_that_ends_early_is_not_whole(kind: Any) -> None:
    blocks = BodyBlocks(environ(kind(DATA), len(DATA) + 1), 1000)
    with pytest.raises(BodyTruncated):
        list(blocks)


def test_no_body_has_no_blocks() -> None:
    assert list(BodyBlocks({"wsgi.input": io.BytesIO(b"x")}, 1000)) == []
