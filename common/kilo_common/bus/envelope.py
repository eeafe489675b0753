"""The oslo.messaging 2.0 envelope and the messages inside it, as pure functions.

An envelope is JSON with two keys; the message inside is JSON again, as a string:
`{"oslo.version": "2.0", "oslo.message": "{…}"}`. A body without these keys is a bare message.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from kilo_common.bus.errors import EnvelopeInvalid

VERSION = "2.0"
CONTEXT_PREFIX = "_context_"
Message = dict[str, Any]


def wrap(message: Mapping[str, Any]) -> bytes:
    """The bytes on the wire for a message of JSON values."""
    inner = _encode(message).decode()
    return _encode({"oslo.version": VERSION, "oslo.message": inner})


def unwrap(body: bytes) -> Message:
    """The message out of the bytes on the wire.

    Raises:
        EnvelopeInvalid: not JSON, not an object, or another major version of the envelope.
    """
    try:
        outer = _decode_outer(body)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as fault:
        raise EnvelopeInvalid(f"A message on the bus is not a JSON object: {fault}") from None
    inner, version = outer.message, outer.version
    if inner is msgspec.UNSET or version is msgspec.UNSET:
        return _object(body)
    if version != VERSION and str(version).partition(".")[0] != VERSION.partition(".")[0]:
        raise EnvelopeInvalid(f"Envelope version {version!r} is not one we read ({VERSION})")
    return _object(inner if isinstance(inner, str) else msgspec.json.encode(inner))


class _Outer(msgspec.Struct):
    version: Any = msgspec.field(name="oslo.version", default=msgspec.UNSET)
    message: Any = msgspec.field(name="oslo.message", default=msgspec.UNSET)


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def _object(text: bytes | str) -> Message:
    try:
        value = _decode(text)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise EnvelopeInvalid(f"A message on the bus is not JSON: {fault}") from None
    if not isinstance(value, dict):
        raise EnvelopeInvalid("A message on the bus is not a JSON object")
    return value


def pack_context(context: Mapping[str, Any]) -> Message:
    """The context's values under their keys in a message."""
    return {CONTEXT_PREFIX + key: value for key, value in context.items()}


def unpack_context(message: Mapping[str, Any]) -> Message:
    """The context's values out of a message."""
    length = len(CONTEXT_PREFIX)  # slicing costs three quarters of `startswith`
    return {key[length:]: value for key, value in message.items() if key[:length] == CONTEXT_PREFIX}


class Request(msgspec.Struct, frozen=True):
    """A call, a cast or a fanout cast."""

    method: str
    args: Mapping[str, Any]
    context: Mapping[str, Any]
    namespace: str | None = None
    version: str = "1.0"
    message_id: str | None = None
    """Set on a call: the answer carries it."""
    reply_to: str | None = None
    """Set on a call: the name of the reply queue."""
    unique_id: str = ""
    monitor: float | None = None
    """Set on a monitored call: within so many seconds the caller must hear that the method is
    still at work."""

    @property
    def is_call(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.message_id is not None and self.reply_to is not None

    def to_message(self) -> Message:
        """The request as the values of an envelope."""
        message: Message = {"method": self.method, "args": self.args}
        if self.namespace is not None:
            message["namespace"] = self.namespace
        if self.version != "1.0":
            message["version"] = self.version
        if self.message_id is not None:
            message["_msg_id"] = self.message_id
            message["_reply_q"] = self.reply_to
            message["_timeout"] = self.monitor
        message["_unique_id"] = self.unique_id
        for key, value in self.context.items():
            message[CONTEXT_PREFIX + key] = value
        return message

    @classmethod
    def from_message(cls, message: Message) -> "Request":
        """The request in a message.

        Raises:
            EnvelopeInvalid: a field is missing or of the wrong type.
        """
        args = message.get("args", {})
        method = message.get("method")
        if not isinstance(method, str) or not isinstance(args, dict):
            raise EnvelopeInvalid("A request on the bus needs a method and an object of arguments")
        return cls(
            method,
            args,
            unpack_context(message),
            _text(message, "namespace"),
            _text(message, "version") or "1.0",
            _text(message, "_msg_id"),
            _text(message, "_reply_q"),
            _text(message, "_unique_id") or "",
            _seconds(message, "_timeout"),
        )


class Reply(msgspec.Struct, frozen=True):
    """The answer to a call, or with `ending` false the news that it is still being worked on."""

    message_id: str
    result: Any = None
    failure: str | None = None
    """JSON text: see `kilo_common.bus.remote`."""
    ending: bool = True
    unique_id: str = ""

    @property
    def says_something(self) -> bool:
        """Whether it carries an answer. Old peers send the answer first and the end after it."""
        return self.failure is not None or self.result is not None

    def to_message(self) -> Message:
        """The reply as the values of an envelope."""
        return {
            "result": self.result,
            "failure": self.failure,
            "ending": self.ending,
            "_msg_id": self.message_id,
            "_unique_id": self.unique_id,
        }

    @classmethod
    def from_message(cls, message: Message) -> "Reply":
        """The reply in a message.

        Raises:
            EnvelopeInvalid: it does not say which call it answers.
        """
        message_id = _text(message, "_msg_id")
        if message_id is None:
            raise EnvelopeInvalid("A reply on the bus does not say which call it answers")
        return cls(
            message_id=message_id,
            result=message.get("result"),
            failure=_text(message, "failure"),
            ending=bool(message.get("ending", True)),
            unique_id=_text(message, "_unique_id") or "",
        )


class Notification(msgspec.Struct, frozen=True):
    """Something that happened, announced to whoever listens."""

    message_id: str
    """A UUID; the same for every copy and every retry of the announcement."""
    publisher_id: str
    """Who announces it: `image.host1`."""
    event_type: str
    """What happened: `image.activate`."""
    priority: str
    """`INFO`, `ERROR`, …, in upper case."""
    payload: Any
    timestamp: str
    """When, UTC: `2026-11-23 01:12:15.961590`."""
    context: Mapping[str, Any] = msgspec.field(default_factory=dict)
    unique_id: str = ""

    @property
    def metadata(self) -> Message:
        """What filters see beside the fields proper: `message_id` and `timestamp`."""
        return {"message_id": self.message_id, "timestamp": self.timestamp}

    def with_payload(self, payload: Any) -> "Notification":
        """This notification with another payload."""
        return self if payload is self.payload else msgspec.structs.replace(self, payload=payload)

    def to_message(self) -> Message:
        """The notification as the values of an envelope."""
        return {
            "message_id": self.message_id,
            "publisher_id": self.publisher_id,
            "event_type": self.event_type,
            "priority": self.priority,
            "payload": self.payload,
            "timestamp": self.timestamp,
            "_unique_id": self.unique_id,
        } | pack_context(self.context)

    @classmethod
    def from_message(cls, message: Message) -> "Notification":
        """The notification in a message.

        Raises:
            EnvelopeInvalid: it has no event type.
        """
        event_type = _text(message, "event_type")
        if event_type is None:
            raise EnvelopeInvalid("A notification on the bus has no event type")
        return cls(
            message_id=_text(message, "message_id") or "",
            publisher_id=_text(message, "publisher_id") or "",
            event_type=event_type,
            priority=(_text(message, "priority") or "INFO").upper(),
            payload=message.get("payload"),
            timestamp=_text(message, "timestamp") or "",
            context=unpack_context(message),
            unique_id=_text(message, "_unique_id") or "",
        )


def milliseconds(seconds: float | None) -> int | None:
    """A time-out in seconds as whole milliseconds, at least one; None stays None."""
    return None if seconds is None else max(1, math.ceil(seconds * 1000))


def _text(message: Message, key: str) -> str | None:
    value = message.get(key)
    if value is None or isinstance(value, str):
        return value
    raise EnvelopeInvalid(f"The field {key} of a message on the bus must be text")


def _seconds(message: Message, key: str) -> float | None:
    value = message.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EnvelopeInvalid(f"The field {key} of a message on the bus must be a number")
    return float(value) if value > 0 else None
