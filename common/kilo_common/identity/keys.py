"""The key that tokens are signed with, in a file that only its owner can read."""

import contextlib
import os
from pathlib import Path

from kilo_common.identity.errors import KeyInvalid

KEY_BYTES = 32


def load_key(file: Path) -> bytes:
    """The key in `file`; made now if there is no file. Several processes get the same one.

    Raises:
        KeyInvalid: it cannot be made or read, others can read it, or it is no key.
    """
    try:
        if not file.exists():
            _make(file)
        if file.stat().st_mode & 0o077:
            raise KeyInvalid(
                f"{file} can be read by others: whoever has the key can sign in as anybody. "
                f"Remove the file (a new key is made), or: chmod 600 {file}",
                key="auth.dev.key_file",
            )
        key = file.read_bytes()
    except OSError as fault:
        raise KeyInvalid(
            f"{file}: the key for tokens cannot be made or read ({fault.strerror})",
            key="auth.dev.key_file",
        ) from None
    if len(key) != KEY_BYTES:
        raise KeyInvalid(
            f"{file} holds no key: remove it, and a new one is made", key="auth.dev.key_file"
        )
    return key


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(os.urandom(KEY_BYTES))
    # A link never replaces: of several processes that start together one makes the key.
    with contextlib.suppress(FileExistsError):
        os.link(fresh, file)
    fresh.unlink()
