"""Versions of artifacts: Semantic Versioning 2.0.0 (semver.org), and their order as text."""

import re

from kilo_catalog.errors import ArtifactInvalid

_NUMBER = r"(0|[1-9]\d{0,8})"
_WORD = r"(?:0|[1-9]\d{0,8}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}(?:\.{_NUMBER})?(?:-({_WORD}(?:\.{_WORD})*))?(?:\+([0-9A-Za-z.-]+))?",
    re.ASCII,
)
LONGEST = 128
LONGEST_KEY = 255
FIRST = "0.0.0"


def read_version(text: object) -> str:
    """The version in full: `1.2` is `1.2.0`.

    Raises:
        ArtifactInvalid: it is none.
    """
    found = _VERSION.fullmatch(text) if isinstance(text, str) and len(text) <= LONGEST else None
    if found is None:
        raise ArtifactInvalid("version must be like 1.2.3 or 1.2.3-beta.1 (semver.org)")
    major, minor, patch, before, build = found.groups()
    full = f"{major}.{minor}.{patch or 0}"
    full += (f"-{before}" if before else "") + (f"+{build}" if build else "")
    if len(sort_key(full)) > LONGEST_KEY:
        raise ArtifactInvalid("version has too many parts")
    return full


def sort_key(version: str) -> str:
    """A text that has, byte by byte, the order of the versions; the build does not count.

    1.0.0-alpha < 1.0.0-alpha.1 < 1.0.0-beta < 1.0.0-beta.2 < 1.0.0-beta.11 < 1.0.0
    """
    found = _VERSION.fullmatch(version)
    assert found is not None, "versions are read before they are kept"
    numbers = ".".join(f"{int(each or 0):09d}" for each in found.groups()[:3])
    before = found.group(4)
    if before is None:
        return f"{numbers}~"  # greater than every version before it
    return f"{numbers}-" + "".join(f"{_word_key(each)}!" for each in before.split("."))


def _word_key(word: str) -> str:
    # Numbers come before words. Both end in `!`, which is less than all that may follow in a word.
    return f"0{int(word):09d}" if word.isdecimal() else f"1{word}"
