"""Sealing bodies: AES-256-GCM (NIST SP 800-38D), under a key that is named beside it.

A sealed body is a zero byte, which begins no JSON text; the length of the key's name and the name;
a random nonce of 12 bytes; and the ciphertext with its tag of 16 bytes. It is bound to its
message's id: it opens under no other.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kilo_common.errors import ConfigInvalid, Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK = b"\0"
_NONCE = 12
_KEY = 32
_LONGEST_NAME = 64


class KeyMissing(Unavailable):
    """A body was sealed under a key that is not in the configuration."""

    code = "messaging.encryption.key_missing"


class SealBroken(Unavailable):
    """A sealed body is not what was sealed."""

    code = "messaging.encryption.seal_broken"


class Seal:
    """Seals and opens bodies."""

    def __init__(self, keys: Mapping[str, str], active: str) -> None:
        """`keys` are in base64, by name; `active` is the one to seal with, empty for none.

        Raises:
            ConfigInvalid: a key is none, or there is none of the name in `active`.
        """
        self._keys = {name: _key_of(name, text) for name, text in keys.items()}
        if active and active not in self._keys:
            raise ConfigInvalid(
                f"messaging.encryption.active: there is no key {active!r} in "
                "messaging.encryption.keys",
                key="messaging.encryption.active",
            )
        self._active = active
        self._ciphers: dict[str, AESGCM] = {}

    @property
    def seals(self) -> bool:
        """Whether there is a key to seal with."""
        return bool(self._active)

    def seal(self, body: bytes, message_id: str) -> bytes:
        """The body, sealed under the active key."""
        name = self._active.encode()
        nonce = os.urandom(_NONCE)
        sealed = self._cipher(self._active).encrypt(nonce, body, message_id.encode())
        return b"".join((MARK, bytes([len(name)]), name, nonce, sealed))

    def open(self, body: bytes, message_id: str) -> bytes:
        """What was sealed; a body that is not sealed is returned as it is.

        Raises:
            KeyMissing: its key is not there any more.
            SealBroken: somebody has changed it.
        """
        if body[:1] != MARK:
            return body
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - costs a start 40 ms

        start = 2 + body[1]
        name = body[2:start].decode(errors="replace")
        if name not in self._keys:
            raise KeyMissing(
                f"A message is encrypted with the key {name!r}, which is not in "
                "messaging.encryption.keys",
                key_id=name,
            )
        nonce, sealed = body[start : start + _NONCE], body[start + _NONCE :]
        try:
            return self._cipher(name).decrypt(nonce, sealed, message_id.encode())
        except InvalidTag:
            raise SealBroken(
                f"Message {message_id} was changed in the store: it cannot be decrypted",
                message_id=message_id,
            ) from None

    def _cipher(self, name: str) -> "AESGCM":
        if name not in self._ciphers:
            from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - as above
                AESGCM,
            )

            self._ciphers[name] = AESGCM(self._keys[name])
        return self._ciphers[name]


def _key_of(name: str, text: str) -> bytes:
    place = f"messaging.encryption.keys.{name}"
    if not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise ConfigInvalid(f"{place}: a name has 1 to {_LONGEST_NAME} bytes", key=place)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY:
        raise ConfigInvalid(
            f"{place}: a key is {_KEY} random bytes in base64 (openssl rand -base64 {_KEY})",
            key=place,
        )
    return key
