"""What nodes say to each other: batches of frames in msgpack, one batch to one ZeroMQ message.

A batch names the incarnation it is for, so that what was meant for a process that died is never
taken by its successor at the same port.
"""

import msgspec

from kilo_common.bus.errors import EnvelopeInvalid

BATCH_BYTES = 1 << 20
"""A batch is closed when its bodies reach this size."""


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all frames."""


class Hello(Frame, frozen=True, array_like=True, gc=False, tag=1):
    """Who I am and everything I consume. `answer` asks for the same in return."""

    version: int
    seats: list[tuple[str, str]]
    """Pairs of place and group."""
    answer: bool


class Join(Frame, frozen=True, array_like=True, gc=False, tag=2):
    """I consume this from now on."""

    version: int
    place: str
    group: str


class Leave(Frame, frozen=True, array_like=True, gc=False, tag=3):
    """I no longer consume this."""

    version: int
    place: str
    group: str


class Known(Frame, frozen=True, array_like=True, gc=False, tag=4):
    """I know what you consume as of this version of your list."""

    version: int


class Message(Frame, frozen=True, array_like=True, gc=False, tag=5):
    """A message for a consumer of a place."""

    id: int
    place: str
    group: str
    body: bytes
    redelivered: bool = False
    ttl: float | None = None
    """Seconds it has left."""
    headers: dict[str, str] | None = None


class Accepted(Frame, frozen=True, array_like=True, gc=False, tag=6):
    """These messages of yours are in my memory."""

    ids: list[int]


class Settled(Frame, frozen=True, array_like=True, gc=False, tag=7):
    """These messages of yours are dealt with: forget them."""

    ids: list[int]


class Refused(Frame, frozen=True, array_like=True, gc=False, tag=8):
    """I did not take this message: I am full (`busy`), or consume no such thing."""

    id: int
    busy: bool


class Returned(Frame, frozen=True, array_like=True, gc=False, tag=9):
    """I give this message back: let another have it."""

    id: int
    redelivered: bool


class Ping(Frame, frozen=True, array_like=True, gc=False, tag=10):
    """I live. What of these, which I sent a while ago?"""

    version: int
    unsettled: list[int]


class Pong(Frame, frozen=True, array_like=True, gc=False, tag=11):
    """These I know nothing of: they were lost on the way."""

    lost: list[int]


class Bye(Frame, frozen=True, array_like=True, gc=False, tag=12):
    """I am going."""


AnyFrame = (
    Hello
    | Join
    | Leave
    | Known
    | Message
    | Accepted
    | Settled
    | Refused
    | Returned
    | Ping
    | Pong
    | Bye
)


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Frames from one node to another, in order."""

    sender: str
    endpoint: str
    """Where the sender can be answered."""
    receiver: str
    """Empty when the sender does not yet know who answers at this endpoint."""
    frames: list[AnyFrame]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode(batch: Batch) -> bytes:
    """The bytes of a batch."""
    return _encoder.encode(batch)


def decode(data: bytes) -> Batch:
    """The batch in `data`.

    Raises:
        EnvelopeInvalid: it is none.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise EnvelopeInvalid(f"A ZeroMQ message is not a batch of ours: {fault}") from None
