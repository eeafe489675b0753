"""Locations in requests: the body of `POST …/locations`, and PATCH of the attribute `locations`."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct

from kilo_catalog.errors import LocationInvalid, PatchInvalid

LONGEST_URL = 2048
MOST = 10
_HASH = re.compile(r"[0-9a-fA-F]{128}")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_PATH = re.compile(r"/locations(?:/(-|0|[1-9][0-9]{0,4}))?")


class Claimed(Struct, frozen=True):
    """What a client says about data that it does not send."""

    url: str
    hash_value: str = ""
    """The sha512; empty if it does not say."""
    checksum: str = ""
    """The md5; empty as well."""
    metadata: tuple[tuple[str, str], ...] = ()


class Verb(Enum):
    """What a PATCH does to the list."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


class LocationChange(Struct, frozen=True):
    """One operation of a PATCH document on `locations`."""

    verb: Verb
    index: int | None = None
    """Of the entry, from 0; None: behind the last, or the whole list."""
    entries: tuple[Claimed, ...] = ()


def parse_location(body: object) -> Claimed:
    """`{"url": …, "metadata": {…}, "validation_data": {…}}`.

    Raises:
        LocationInvalid: it is malformed.
    """
    if not isinstance(body, dict):
        raise LocationInvalid("A location must be a JSON object with a url")
    unknown = sorted(set(body) - {"url", "metadata", "validation_data"})
    if unknown:
        raise LocationInvalid(f"A location has url, metadata and validation_data, not {unknown[0]}")
    url = body.get("url")
    if not isinstance(url, str) or not 0 < len(url) <= LONGEST_URL or not url.isprintable():
        raise LocationInvalid(f"A location's url must be text of 1 to {LONGEST_URL} characters")
    checked = body.get("validation_data", {})
    if not isinstance(checked, dict):
        raise LocationInvalid("validation_data must be a JSON object")
    if checked.get("os_hash_algo", "sha512") != "sha512":
        raise LocationInvalid("os_hash_algo must be sha512: this is what images are hashed with")
    return Claimed(
        url,
        _digest(checked, "os_hash_value", _HASH),
        _digest(checked, "checksum", _MD5),
        _metadata(body.get("metadata", {})),
    )


def concerns_locations(body: object) -> bool:
    """Whether a PATCH document has anything to do with `locations`."""
    return isinstance(body, list) and any(
        isinstance(each, dict) and str(each.get("path", "")).split("/")[1:2] == ["locations"]
        for each in body
    )


def parse_changes(body: Sequence[object]) -> tuple[LocationChange, ...]:
    """The operations of a PATCH document that changes `locations` and nothing else.

    Raises:
        PatchInvalid: it changes something else as well, or is malformed.
        LocationInvalid: an entry is.
    """
    return tuple(map(_parse_change, body))


def _parse_change(item: object) -> LocationChange:
    match = _PATH.fullmatch(str(item.get("path"))) if isinstance(item, dict) else None
    if not isinstance(item, dict) or match is None:
        raise PatchInvalid(
            "A PATCH that changes locations changes nothing else, by paths /locations, "
            "/locations/- and /locations/NUMBER"
        )
    verbs = {each.value: each for each in Verb}
    verb = verbs.get(str(item.get("op")))
    place = match[1]
    if verb is None or (verb is Verb.REPLACE) != (place is None):
        raise PatchInvalid(
            "Locations are added at /locations/- or /locations/NUMBER, removed at "
            "/locations/NUMBER, and replaced at /locations, all of them"
        )
    index = int(place) if place not in (None, "-") else None
    if verb is Verb.REMOVE:
        if index is None:
            raise PatchInvalid("The path to remove must be /locations/NUMBER")
        return LocationChange(verb, index)
    value = item.get("value")
    if verb is Verb.ADD:
        return LocationChange(verb, index, (parse_location(value),))
    if not isinstance(value, list):
        raise PatchInvalid("The value of locations must be a list")
    return LocationChange(verb, None, tuple(map(parse_location, value)))


def _digest(checked: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = checked.get(name, "")
    if value and not (isinstance(value, str) and form.fullmatch(value)):
        raise LocationInvalid(f"validation_data.{name} must be its hexadecimal digits")
    return str(value).lower()


def _metadata(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise LocationInvalid("A location's metadata must be a JSON object of texts")
    if len(str(value)) > LONGEST_URL:
        raise LocationInvalid(f"A location's metadata has at most {LONGEST_URL} characters")
    # Which store has it is ours to say.
    return tuple(sorted((name, each) for name, each in value.items() if name != "store"))
