"""AMQP 0-9-1 frames as bytes: what is sent and received most often, without detours. Pure."""

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from amqp.serialization import dumps

Frame = tuple[int, int, bytes]
"""Type, channel, payload."""
METHOD, HEADER, BODY = 1, 2, 3
BASIC, ACK, REJECT = 60, 80, 90
OVERHEAD = 8
"""Bytes of a frame that are not payload."""
_END = 0xCE
_HEAD = struct.Struct(">BHI")
_METHOD = struct.Struct(">HH")
_ACK = struct.Struct(">BHIHHQBB")
_CONTENT = struct.Struct(">HHQH")
# What every message says of itself: JSON, in UTF-8; bits 15, 14, 12 and 11 of the property flags.
_TYPE = b"\x10application/json\x05utf-8"
_PERSISTENT, _PASSING = b"\x02\x00", b"\x01\x00"  # and priority 0
_FLAGS = 1 << 15 | 1 << 14 | 1 << 13 | 1 << 12 | 1 << 11
_NO_HEADERS = b"\x00\x00\x00\x00"
_EXPIRATION, _MESSAGE_ID = 1 << 8, 1 << 7


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame."""
    return b"%b%b\xce" % (_HEAD.pack(kind, channel, len(payload)), payload)


def method(channel: int, signature: tuple[int, int], arguments: bytes = b"") -> bytes:
    """The frame of a method that has no content."""
    return frame(METHOD, channel, _METHOD.pack(*signature) + arguments)


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    """The frame that acknowledges a delivery, or all up to it."""
    return _ACK.pack(METHOD, channel, 13, BASIC, ACK, tag, multiple, _END)


def requeue(channel: int, tag: int) -> bytes:
    """The frame that gives a delivery back to its queue."""
    return _ACK.pack(METHOD, channel, 13, BASIC, REJECT, tag, True, _END)


def publish(
    channel: int,
    exchange: str,
    key: str,
    body: bytes,
    *,
    mandatory: bool,
    ttl: float | None,
    headers: Mapping[str, str],
    persistent: bool,
    message_id: str,
    frame_max: int,
) -> bytes:
    """The frames that publish one message."""
    arguments = b"\x00\x3c\x00\x28\x00\x00%b%b%b" % (
        _short(exchange),
        _short(key),
        b"\x01" if mandatory else b"\x00",
    )
    flags = _FLAGS | _MESSAGE_ID
    table = dumps("F", [dict(headers)]) if headers else _NO_HEADERS
    properties = [_TYPE, table, _PERSISTENT if persistent else _PASSING]
    if ttl is not None:
        flags |= _EXPIRATION
        properties.append(_short(str(max(1, math.ceil(ttl * 1000)))))
    properties.append(_short(message_id))
    header = _CONTENT.pack(BASIC, 0, len(body), flags) + b"".join(properties)
    parts = [frame(METHOD, channel, arguments), frame(HEADER, channel, header)]
    step = frame_max - OVERHEAD
    parts += [frame(BODY, channel, body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(parts)


def split(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames in `data`, and what is left of it.

    Raises:
        ValueError: this is not AMQP.
    """
    frames: list[Frame] = []
    at, end = 0, len(data)
    while end - at >= OVERHEAD:
        kind, channel, size = _HEAD.unpack_from(data, at)
        after = at + OVERHEAD + size
        if after > end:
            break
        if data[after - 1] != _END:
            raise ValueError("a frame from the broker does not end where it should")
        frames.append((kind, channel, data[at + 7 : after - 1]))
        at = after
    return frames, data[at:]


def frame_writer(put: Callable[[bytes], None]) -> Callable[..., None]:
    """What py-amqp calls to send a method that has no content: the frame goes to `put`."""

    def write(
        kind: int, channel: int, signature: tuple[int, int] | None, args: Any, _: Any
    ) -> None:
        del kind  # heartbeats, the other kind, are the link's own
        assert signature is not None
        put(method(channel, signature, args.encode() if isinstance(args, str) else args))

    return write


def _short(text: str) -> bytes:
    data = text.encode()
    return b"%c%b" % (len(data), data)
