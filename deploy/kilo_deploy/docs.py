"""The documents that come with the package, shown on the terminal."""

import importlib.resources
from pathlib import Path

from kilo_common.errors import NotFound

TOPICS = {
    "readme": "README.md",
    "architecture": "ARCHITECTURE.md",
    "common": "common/README.md",
    "catalog": "catalog/README.md",
    "messaging": "messaging/README.md",
    "deploy": "deploy/README.md",
}


class DocumentMissing(NotFound):
    """The document is not part of this installation."""

    code = "deploy.document_missing"


def read(topic: str) -> str:
    """The document's Markdown text.

    Raises:
        DocumentMissing: there is no such topic, or its file was not installed.
    """
    if topic not in TOPICS:
        raise DocumentMissing(f"There is no document {topic!r}; there are: {', '.join(TOPICS)}")
    package = Path(str(importlib.resources.files("kilo_deploy")))
    in_wheel = package / "docs" / TOPICS[topic].replace("/README", "")
    in_checkout = package.parent.parent / TOPICS[topic]
    for path in (in_wheel, in_checkout):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise DocumentMissing(f"{TOPICS[topic]} is not part of this installation")
