"""A secret key in a file of its own, made when it is first needed."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from kilo_common.errors import Unavailable

KEY_BYTES = 32


class KeyUnavailable(Unavailable):
    """The key can neither be read nor made."""

    code = "messaging.key_unavailable"


class KeyFile:
    """The key in `path`; processes that share the folder share the key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = b""

    def __call__(self) -> bytes:
        """The key, which is made if there is none.

        Raises:
            KeyUnavailable: the file can be neither read nor made.
        """
        if not self._key:
            try:
                if not self._path.exists():
                    self._make()
                self._key = _read(self._path)
            except (OSError, ValueError) as fault:
                raise KeyUnavailable(
                    f"The key of signed URLs cannot be read or made at {self._path}: {fault}; "
                    "set messaging.signed_urls.key or key_file"
                ) from None
        return self._key

    def _make(self) -> None:
        """Make the file in one step, so that nobody reads half a key and the first one stays."""
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process was first: its key counts
                os.link(draft, self._path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()


def _read(path: Path) -> bytes:
    key = bytes.fromhex(path.read_text().strip())
    if len(key) < KEY_BYTES:
        raise ValueError(f"it holds fewer than {KEY_BYTES} bytes")
    return key
