"""Identifiers, as a collaborator that is handed in, so that a test can foretell them."""

import itertools
import os
import re
import uuid
from collections.abc import Callable
from functools import lru_cache

IdSource = Callable[[], str]
"""Makes one new identifier, a UUID in its dashed text form, at each call."""

_UUID = re.compile("[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\\1){3}[0-9a-fA-F]{12}")
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit that names the variant of UUID (RFC 9562, section 4.1), with two bits still random."""
_REQUEST_ID = re.compile(r"req-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def random_id() -> str:
    """A random UUID (version 4), dashed."""
    # Slices take a third of the time that uuid.UUID does, and each request makes several.
    text = os.urandom(16).hex()
    variant = _VARIANT[text[16]]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


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


@lru_cache(4096)
def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID, dashed or not."""
    return _UUID.fullmatch(text) is not None or _is_oddly_dashed(text)


def _is_oddly_dashed(text: str) -> bool:
    try:
        return uuid.UUID(text).hex == text.replace("-", "").lower()
    except ValueError:
        return False
