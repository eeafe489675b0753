"""How often a quorum queue gave a message out, and what is done before that is once too often.

The queue counts in `x-delivery-count`, and RabbitMQ 4 throws a message away that was given out 21
times, for whatever reason. Nothing may be lost, and what is only given back again and again, since
its work must wait, is not a dead letter either. So after a while a message is not given back but
sent again; and one that was never given back, but ended whoever had it, is put among the dead
letters while it can be. Pure.
"""

from collections.abc import Mapping

import msgspec

COUNT = "x-delivery-count"
"""The broker's header. Consumers find the sum in it, over all copies of a message."""
BEFORE = "kilo-delivery-count"
"""Our header: how often the copies before this one were given out."""
RENEW_AT = 10
"""A message that was given out so often before is sent again and not given back."""
BURY_AT = 20
"""RabbitMQ 4's limit, unless a policy says otherwise: after this delivery the message is gone."""


class Count(msgspec.Struct, frozen=True):
    """How often a message was given out before."""

    copy: int
    """This copy of it."""
    total: int
    """All copies."""

    @property
    def renews(self) -> bool:
        """Whether a message that is to come again must be sent again."""
        return self.copy >= RENEW_AT

    @property
    def overdue(self) -> bool:
        """Whether this is the last time it is given out."""
        return self.copy >= BURY_AT


def read(headers: Mapping[str, str]) -> tuple[Count, dict[str, str]]:
    """The count of a message that came with `headers`, and the headers for its consumer."""
    shown = dict(headers)
    copy, before = _number(shown.get(COUNT)), _number(shown.pop(BEFORE, None))
    if before:
        shown[COUNT] = str(copy + before)
    return Count(copy, copy + before), shown


def plain(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without the count, as another queue may have them."""
    return {name: value for name, value in headers.items() if name != COUNT}


def headers_of_copy(count: Count, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with which a message is sent again, made of those of its consumer."""
    return {**plain(headers), BEFORE: str(count.total + 1)}


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0
