"""A cursor: a place in a topic that a client keeps, to go on from there later and elsewhere.

It is made of an epoch, which is the life of the topic (one that was deleted and made anew has
another), and of an offset, the position of the last message that the client has seen.
"""

from datetime import UTC, datetime, timedelta

import msgspec

from kilo_messaging.errors import CursorInvalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 64
_LAST = 2**63 - 1
NO_TOPIC = "0"
"""The epoch of a topic that was not there yet."""


class Cursor(msgspec.Struct, frozen=True):
    """Everything up to `offset` in the life `epoch` of a topic is behind the client."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}"


BEGINNING = Cursor(NO_TOPIC, 0)
"""Nothing was seen yet."""


def epoch_of(began: datetime | None) -> str:
    """The epoch of a topic that was made at `began`."""
    if began is None:
        return NO_TOPIC
    return f"{(began - _EPOCH) // timedelta(microseconds=1):x}"


def parse_cursor(text: str) -> Cursor:
    """The cursor in a text of ours.

    Raises:
        CursorInvalid: it is not one.
    """
    epoch, _dot, offset = text.partition(".")
    try:
        if len(text) > _LONGEST or not (epoch.isalnum() and offset.isdecimal() and text.isascii()):
            raise ValueError
        cursor = Cursor(f"{int(epoch, 16):x}", int(offset))
    except ValueError:
        cursor = None
    if cursor is None or cursor.offset > _LAST or str(cursor) != text:
        raise CursorInvalid(
            "A cursor is one that came with a message or a subscription, or `start`, or `end`",
            cursor=text[:_LONGEST],
        )
    return cursor
