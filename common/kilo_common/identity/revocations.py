"""The tokens that were given back before their end: a small file that all processes read.

One line a token, its audit id and the second of its end; lines are only ever appended, and those
whose tokens have ended anyway are dropped at a start.
"""

import os
from pathlib import Path

from kilo_common.errors import Unavailable


class RevocationList:
    """Which tokens are good no more."""

    def __init__(self, file: Path, now: float) -> None:
        """The list in `file`; `now` says which lines have had their time."""
        self._file = file
        self._revoked: frozenset[str] = frozenset()
        self._seen: tuple[int, int] | None = None
        self._prune(now)

    def add(self, audit_id: str, expires_at: int) -> None:
        """Revoke a token; it is on disk when this returns.

        Raises:
            Unavailable: the file cannot be written.
        """
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as opened:
                opened.write(f"{audit_id} {expires_at}\n".encode())
                opened.flush()
                os.fsync(opened.fileno())
        except OSError as fault:
            raise Unavailable(f"The token cannot be revoked now: {fault.strerror}") from None

    def __contains__(self, audit_id: str) -> bool:
        try:
            found = self._file.stat()
        except OSError:
            return audit_id in self._revoked
        version = (found.st_ino, found.st_size)
        if version != self._seen:
            self._revoked = frozenset(name for name, _end in self._lines())
            self._seen = version
        return audit_id in self._revoked

    def _lines(self) -> list[tuple[str, int]]:
        try:
            text = self._file.read_text()
        except OSError:
            return []
        found = (line.partition(" ") for line in text.splitlines())
        return [(name, int(end)) for name, _space, end in found if end.isdigit()]

    def _prune(self, now: float) -> None:
        lines = self._lines()
        live = [(name, end) for name, end in lines if end > now]
        if len(live) == len(lines):
            return
        fresh = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        fresh.write_text("".join(f"{name} {end}\n" for name, end in live))
        fresh.chmod(0o600)
        fresh.replace(self._file)
