"""The strategy `http_basic`: names and passwords of an htpasswd file with bcrypt entries.

Projects and roles come from the configuration. bcrypt takes a fifth of a second on purpose, so it
runs in a native thread, and a password that was right is remembered for a short time by its keyed
hash.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path

import bcrypt

from kilo_common.clock import Clock
from kilo_common.errors import ConfigInvalid, Unauthenticated
from kilo_common.http.auth import Identity
from kilo_common.settings import AuthSettings, BasicAuthSettings

CHECKS_AT_ONCE = 4
"""Checks of passwords that run at a time, so that guessing leaves threads for other work."""
REMEMBERED = 1000
LONGEST_PASSWORD = 72
"""Bytes that bcrypt looks at. A longer password is refused, not cut."""
_ENTRY = re.compile(r"\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}")


class HtpasswdInvalid(ConfigInvalid):
    """The password file cannot be used."""

    code = "common.auth.htpasswd_invalid"


class CredentialsWrong(Unauthenticated):
    """The name or the password is wrong, or there is none."""

    code = "common.auth.credentials_wrong"


class BasicAuth:
    """Callers say who they are with each request (RFC 7617)."""

    def __init__(
        self,
        settings: BasicAuthSettings,
        hashes: Mapping[str, bytes],
        executor: Executor,
        clock: Clock,
    ) -> None:
        self.challenge = f'Basic realm="{settings.realm}", charset="UTF-8"'
        self._hashes = hashes
        self._identities = {
            name: Identity(user.project, name, tuple(role.lower() for role in user.roles))
            for name, user in settings.users.items()
        }
        self._executor = executor
        self._clock = clock
        self._remember = settings.remember
        # Whoever waits here holds nothing that others need: it only bounds how many check at once.
        self._checking = threading.Semaphore(CHECKS_AT_ONCE)
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()
        # An unknown name costs as much time as a wrong password, so that names cannot be probed.
        self._nobody = bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(_cost(hashes)))

    @classmethod
    def open(cls, settings: AuthSettings, executor: Executor, clock: Clock) -> "BasicAuth":
        """The strategy over the configured file.

        Raises:
            HtpasswdInvalid: the file cannot be read, or it and the configured users differ.
        """
        hashes = read_htpasswd(Path(settings.http_basic.file))
        _check_users(settings.http_basic, hashes)
        return cls(settings.http_basic, hashes, executor, clock)

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        """The identity of the user whose name and password are in `Authorization`."""
        name, password = _read_authorization(headers.get("authorization", ""))
        key = hmac.digest(self._key, name.encode() + b"\0" + password, hashlib.sha256)
        if not self._is_remembered(key):
            self._check(name, password)
            self._note(key)
        return self._identities[name]

    def _check(self, name: str, password: bytes) -> None:
        stored = self._hashes.get(name, self._nobody)
        with self._checking:
            right = self._executor.submit(_matches, password, stored).result()
        if not right or name not in self._hashes:
            raise CredentialsWrong("The name or the password is wrong")

    def _is_remembered(self, key: bytes) -> bool:
        return self._right.get(key, 0.0) > self._clock.monotonic()

    def _note(self, key: bytes) -> None:
        if not self._remember:
            return
        self._right[key] = self._clock.monotonic() + self._remember
        self._right.move_to_end(key)
        while len(self._right) > REMEMBERED:
            self._right.popitem(last=False)


def read_htpasswd(file: Path) -> dict[str, bytes]:
    """The bcrypt hashes in an htpasswd file by the users' names.

    Raises:
        HtpasswdInvalid: with the line and what is wrong with it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise HtpasswdInvalid(
            f"{file}: the password file cannot be read ({fault}); make one with: "
            f"htpasswd -B -c {file} NAME",
            key="auth.http_basic.file",
        ) from None
    hashes: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _colon, stored = line.strip().partition(":")
        if not name or not _ENTRY.fullmatch(stored):
            raise HtpasswdInvalid(
                f"{file}, line {number}: not a name, a colon and a bcrypt hash of a cost from 4 "
                f"to 16; make one with: htpasswd -B {file} NAME",
                key="auth.http_basic.file",
            )
        if name in hashes:
            raise HtpasswdInvalid(
                f"{file}, line {number}: {name!r} has an entry already", key="auth.http_basic.file"
            )
        hashes[name] = stored.encode()
    return hashes


def _check_users(settings: BasicAuthSettings, hashes: Mapping[str, bytes]) -> None:
    for name in hashes:
        if name not in settings.users:
            raise HtpasswdInvalid(
                f"{settings.file} has the user {name!r}, and nothing says what that user may do: "
                f'add [auth.http_basic.users."{name}"] with project and roles.',
                key="auth.http_basic.users",
            )
    for name in settings.users:
        if name not in hashes:
            raise HtpasswdInvalid(
                f"auth.http_basic.users names {name!r}, who is not in {settings.file}: "
                f"htpasswd -B {settings.file} {name}",
                key="auth.http_basic.users",
            )
    if not hashes:
        raise HtpasswdInvalid(
            f"{settings.file} has no users: nobody could get in. htpasswd -B {settings.file} NAME",
            key="auth.http_basic.file",
        )


def _read_authorization(header: str) -> tuple[str, bytes]:
    scheme, _space, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise CredentialsWrong("Send a name and a password: Authorization: Basic …")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if not colon:
            raise CredentialsWrong("The credentials have no colon between name and password")
        return name.decode(), password
    except (binascii.Error, ValueError):
        raise CredentialsWrong("The credentials are not base64 of name:password") from None


def _matches(password: bytes, stored: bytes) -> bool:
    if len(password) > LONGEST_PASSWORD:
        return False
    return bcrypt.checkpw(password, stored)


def _cost(hashes: Mapping[str, bytes]) -> int:
    return max((int(stored[4:6]) for stored in hashes.values()), default=4)
