"""Signatures of images: the properties that the Image API keeps them in, and what they must be."""

import base64
import binascii
import re
from collections.abc import Mapping

from msgspec import Struct

from kilo_catalog.errors import SignatureInvalid

SIGNATURE = "img_signature"
HASH_METHOD = "img_signature_hash_method"
KEY_TYPE = "img_signature_key_type"
CERTIFICATE = "img_signature_certificate_uuid"
SIGNATURE_PROPERTIES = (SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE)
VERIFIED = "os_glance_signature_verified"
"""The property that says whose signature was found right; clients cannot set it."""
HASHES = ("SHA-224", "SHA-256", "SHA-384", "SHA-512")
CURVES: Mapping[str, str] = {
    "ECC_SECT571K1": "sect571k1",
    "ECC_SECT409K1": "sect409k1",
    "ECC_SECT571R1": "sect571r1",
    "ECC_SECT409R1": "sect409r1",
    "ECC_SECP521R1": "secp521r1",
    "ECC_SECP384R1": "secp384r1",
}
KEY_TYPES = ("RSA-PSS", "DSA", *CURVES)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LONGEST = 4096


class ImageSignature(Struct, frozen=True):
    """What an image's properties say about its signature."""

    signature: bytes
    hash_method: str
    key_type: str
    certificate: str
    """The certificate's id, a UUID."""


def signature_of(properties: Mapping[str, str]) -> ImageSignature | None:
    """The signature of an image; None if it has none.

    Raises:
        SignatureInvalid: it has one in part, or one that there cannot be.
    """
    given = {name: properties[name] for name in SIGNATURE_PROPERTIES if properties.get(name)}
    if not given:
        return None
    missing = [name for name in SIGNATURE_PROPERTIES if name not in given]
    if missing:
        raise SignatureInvalid(f"A signed image needs the property {missing[0]} as well")
    _one_of(given, HASH_METHOD, HASHES)
    _one_of(given, KEY_TYPE, KEY_TYPES)
    if not _UUID.fullmatch(given[CERTIFICATE]):
        raise SignatureInvalid(f"{CERTIFICATE} must be a UUID")
    try:
        signature = base64.b64decode("".join(given[SIGNATURE].split()), validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if not 0 < len(signature) <= _LONGEST:
        raise SignatureInvalid(f"{SIGNATURE} must be a signature in base64")
    return ImageSignature(
        signature, given[HASH_METHOD], given[KEY_TYPE], given[CERTIFICATE].lower()
    )


def _one_of(given: Mapping[str, str], name: str, known: tuple[str, ...]) -> None:
    if given[name] not in known:
        raise SignatureInvalid(f"{name} must be one of: {', '.join(known)}")
