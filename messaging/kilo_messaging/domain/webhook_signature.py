"""Signatures on webhooks, as Standard Webhooks 1.0 has them (standardwebhooks.com).

A secret is `whsec_` and 24 to 64 bytes in base64. What is signed is `ID.TIMESTAMP.BODY`; the header
`webhook-signature` holds `v1,BASE64` for every key that is live, separated by spaces, so that a
receiver may take its new key whenever it likes.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from kilo_messaging.errors import SubscriptionInvalid

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a secret."""


class SigningKey(Struct, frozen=True, kw_only=True):
    """A secret of a subscription."""

    secret: str
    """`whsec_…`."""
    expires_at: datetime | None = None
    """None: until it is replaced."""

    def is_live(self, now: datetime) -> bool:
        """Whether deliveries are signed with it."""
        return self.expires_at is None or now < self.expires_at


def new_secret() -> str:
    """A fresh secret, of 32 bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> str:
    """`secret`, if it is one.

    Raises:
        SubscriptionInvalid: it is not.
    """
    _decode(secret)
    return secret


def signature_header(
    keys: Iterable[SigningKey], message_id: str, timestamp: int, body: bytes, now: datetime
) -> str:
    """The value of `webhook-signature`; `timestamp` is in seconds since 1970."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(_decode(key.secret), signed, hashlib.sha256)).decode()
        for key in keys
        if key.is_live(now)
    )


def _decode(secret: str) -> bytes:
    try:
        raw = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(raw) <= LONGEST:
        raise SubscriptionInvalid(
            f"A signing secret is {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64",
            key="_secret",
        )
    return raw
