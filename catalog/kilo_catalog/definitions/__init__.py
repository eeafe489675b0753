"""The standard metadata definitions, one namespace a file, and the reading of such files."""

from pathlib import Path
from typing import Any

import msgspec

from kilo_catalog.errors import MetadefInvalid

FOLDER = Path(__file__).parent
"""Where the standard definitions are."""
GREATEST_FILE = 16 << 20


def files(folder: Path) -> list[Path]:
    """The files in a folder that can hold definitions, by name."""
    return sorted(path for path in folder.glob("*.json") if path.is_file())


def read(file: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        MetadefInvalid: it cannot be read, or holds something else.
    """
    try:
        if file.stat().st_size > GREATEST_FILE:
            raise MetadefInvalid(f"it is larger than {GREATEST_FILE} bytes")
        found = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise MetadefInvalid(f"it cannot be read as JSON: {fault}") from None
    if not isinstance(found, dict):
        raise MetadefInvalid("it must hold one JSON object, a namespace")
    return found
