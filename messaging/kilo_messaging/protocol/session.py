"""A WebSocket session as a pure state machine: frames in, requests out; answers in, frames out.

A request is `{"action", "headers", "body"}`, as JSON in a text frame or as MessagePack in a binary
one; it may carry a `request_id`, which comes back in the answer. An answer has the form of its
request, a pushed message that of the last subscription.
"""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kilo_messaging.errors import BodyInvalid

API = "v2"
_SECRET = frozenset({"authorization", "x-auth-token", "url-signature"})
_EMPTY = Raw(b"{}")


class Form(Enum):
    """How a frame is written."""

    TEXT = "text"
    """JSON."""
    BINARY = "binary"
    """MessagePack."""


class Phase(Enum):
    """How far a session is."""

    OPEN = "open"
    """Each message says who sends it."""
    AUTHENTICATED = "authenticated"
    """The client has said who it is; later messages need not."""
    CLOSED = "closed"


TRANSITIONS = {
    Phase.OPEN: frozenset({Phase.AUTHENTICATED, Phase.CLOSED}),
    Phase.AUTHENTICATED: frozenset({Phase.AUTHENTICATED, Phase.CLOSED}),
    Phase.CLOSED: frozenset[Phase](),
}


class SessionRequest(msgspec.Struct, frozen=True):
    """What a client asks for over WebSocket."""

    action: str
    headers: dict[str, str | None] = {}
    body: Raw = _EMPTY
    request_id: str | int | None = None


class _Answer(msgspec.Struct, frozen=True):
    request: dict[str, Any]
    body: Raw
    headers: dict[str, int]
    request_id: str | int | UnsetType = UNSET


class Session:
    """What is remembered between the frames of one connection."""

    def __init__(self, handshake_headers: Mapping[str, str], *, echo_limit: int) -> None:
        """`handshake_headers`, in lower case, hold for each message that does not say otherwise."""
        self.phase = Phase.OPEN
        self.push_form = Form.TEXT
        self._known: dict[str, str] = dict(handshake_headers)
        self._echo_limit = echo_limit

    def read(self, frame: bytes, form: Form) -> SessionRequest:
        """The request in a frame.

        Raises:
            BodyInvalid: there is none.
        """
        try:
            text = frame if form is Form.TEXT else _from_messagepack(frame)
            text.decode()
            request = msgspec.json.decode(text, type=SessionRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise BodyInvalid(f"The frame is not a request: {fault}") from None
        if not bytes(request.body).startswith(b"{"):
            raise BodyInvalid("The body of a request is an object")
        return request

    def headers_of(self, request: SessionRequest) -> Mapping[str, str]:
        """The headers that hold for a request, in lower case."""
        if not request.headers:
            return self._known
        own = {name.lower(): text for name, text in request.headers.items() if text is not None}
        return self._known | own

    @property
    def known(self) -> Mapping[str, str]:
        """The headers that hold for requests that do not say otherwise."""
        return self._known

    def remember(self, request: SessionRequest) -> None:
        """The request's headers named a caller that was recognised: they hold from now on."""
        self._known = dict(self.headers_of(request))
        self.move(Phase.AUTHENTICATED)

    def move(self, phase: Phase) -> None:
        """Go on to another phase."""
        if phase not in TRANSITIONS[self.phase]:
            raise ValueError(f"a session that is {self.phase.value} cannot become {phase.value}")
        self.phase = phase

    def answer(
        self, request: SessionRequest | None, form: Form, status: int, body: bytes | None
    ) -> bytes:
        """The frame that answers a request; `request` is None where none could be read."""
        answer = _Answer(
            request=self._echo(request),
            body=Raw(body or b"null"),
            headers={"status": status},
            request_id=UNSET
            if request is None or request.request_id is None
            else request.request_id,
        )
        return render(msgspec.json.encode(answer), form)

    def _echo(self, request: SessionRequest | None) -> dict[str, Any]:
        """The request as its answer repeats it: no secrets, and no body that is long."""
        if request is None:
            return {"action": None, "body": {}, "headers": {}, "api": API}
        headers = {
            name: text[:256]
            for name, text in request.headers.items()
            if text is not None and name.lower() not in _SECRET
        }
        short = len(bytes(request.body)) <= self._echo_limit
        return {
            "action": request.action[:64],
            "body": request.body if short else {},
            "headers": dict(list(headers.items())[:16]),
            "api": API,
        }


def render(text: bytes, form: Form) -> bytes:
    """JSON in the form of a frame."""
    if form is Form.TEXT:
        return text
    try:
        return msgspec.msgpack.encode(msgspec.json.decode(text))
    except (msgspec.DecodeError, OverflowError):
        # JSON knows numbers beyond what MessagePack can say; they become the nearest it can.
        return msgspec.msgpack.encode(json.loads(text, parse_int=_fitting))


def _fitting(digits: str) -> int | float:
    if len(digits) < 19:
        return int(digits)
    exact = int(digits) if len(digits) <= 20 else None
    if exact is not None and -(2**63) <= exact < 2**64:
        return exact
    return float(digits)


def _from_messagepack(frame: bytes) -> bytes:
    """A MessagePack document as JSON.

    Raises:
        BodyInvalid: it is none, or holds what JSON cannot say.
    """
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(frame))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError) as fault:
        raise BodyInvalid(f"The frame is not MessagePack that JSON can say: {fault}") from None
