"""Identifiers, as a collaborator that is handed in, so that a test can foretell them."""

import itertools
import os
import re
import uuid
from collections.abc import Callable

IdSource = Callable[[], str]
"""Makes one new identifier, a UUID in its dashed text form, at each call."""

_REQUEST_ID = re.compile(r"req-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def random_id() -> str:
    """A random UUID (version 4), dashed."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


class HexIds:
    """Many hexadecimal identifiers from one: a prefix of its own and a running number.

    As unique as the source, at a fraction of the cost; they must not be secrets, for each follows
    from the one before.
    """

    def __init__(self, source: IdSource) -> None:
        self._prefix = source().replace("-", "")[:20]
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._prefix}{next(self._numbers):012x}"


def new_request_id(source: IdSource = random_id) -> str:
    """The id of one request, in the form all OpenStack services use: `req-` and a UUID."""
    return "req-" + source()


def is_request_id(text: str) -> bool:
    """Whether `text` could have come from `new_request_id`; anything else is not echoed."""
    return _REQUEST_ID.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID, dashed or not."""
    try:
        return uuid.UUID(text).hex == text.replace("-", "").lower()
    except ValueError:
        return False
