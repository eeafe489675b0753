"""Tokens: who signed in, for which project, until when; signed, and kept nowhere."""

import base64
import binascii
import hashlib
import hmac
import os

import msgspec

from kilo_common.identity.errors import TokenInvalid

LONGEST = 2048
REMEMBERED = 1000
"""Tokens whose signature need not be computed again."""


class Token(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a token says. Roles are not in it: they are looked up when it is used."""

    audit_id: str
    user_id: str
    project_id: str
    """Empty: for no project."""
    issued_at: int
    """Seconds since 1970, as all times here."""
    expires_at: int
    methods: tuple[str, ...]
    parent_audit_id: str = ""
    """The first token of a chain in which one was had for another."""

    @property
    def audit_ids(self) -> list[str]:
        """Its own id, and its chain's where there is one."""
        return [self.audit_id, *([self.parent_audit_id] if self.parent_audit_id else [])]


def new_audit_id() -> str:
    """A random id for one token."""
    return _encode(os.urandom(16))


class TokenSigner:
    """Writes and reads tokens."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # What a text says never changes; whether it still counts is for others to know.
        self._known: dict[str, Token] = {}

    def sign(self, token: Token) -> str:
        """The token as clients carry it."""
        payload = msgspec.json.encode(token)
        return f"{_encode(payload)}.{_encode(self._mac(payload))}"

    def read(self, text: str) -> Token:
        """What a token says.

        Raises:
            TokenInvalid: we did not sign this.
        """
        known = self._known.get(text)
        if known is not None:
            return known
        token = self._verify(text)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[text] = token
        return token

    def _verify(self, text: str) -> Token:
        try:
            if len(text) > LONGEST:
                raise TokenInvalid("The token is not one of ours")
            payload, mac = (_decode(part) for part in text.split("."))
            if not hmac.compare_digest(mac, self._mac(payload)):
                raise TokenInvalid("The token is not one of ours")
            return msgspec.json.decode(payload, type=Token)
        except (ValueError, binascii.Error, msgspec.DecodeError):
            raise TokenInvalid("The token is not one of ours") from None

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
