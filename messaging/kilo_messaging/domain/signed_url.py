"""A pre-signed URL: who holds it may use some paths with some methods for a while, without a token.

It travels as headers: `URL-Signature`, `URL-Paths`, `URL-Methods`, `URL-Expires`, `X-Project-Id`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from kilo_messaging.errors import SignatureInvalid

HEADER = "url-signature"


class SignedUrl(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed."""

    project_id: str
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    expires: str
    """ISO 8601, as it was signed."""

    def signature(self, key: bytes) -> str:
        """The signature that only who has the key can make."""
        text = "\n".join(
            (",".join(self.paths), ",".join(self.methods), self.project_id, self.expires)
        )
        return hmac.new(key, text.encode(errors="replace"), hashlib.sha256).hexdigest()

    def covers(self, method: str, path: str) -> bool:
        """Whether it permits the method on this path, one of its own or one beneath."""
        if method not in self.methods and not (method == "HEAD" and "GET" in self.methods):
            return False
        return any(path == own or path.startswith(own + "/") for own in self.paths)


def read_signed_url(headers: Mapping[str, str]) -> SignedUrl:
    """What the headers say is signed; whether it is, `check_signature` tells."""
    return SignedUrl(
        project_id=headers.get("x-project-id", ""),
        paths=_listed(headers.get("url-paths", "")),
        methods=_listed(headers.get("url-methods", "")),
        expires=headers.get("url-expires", ""),
    )


def check_signature(headers: Mapping[str, str], key: bytes, now: datetime) -> SignedUrl:
    """What is signed, if it is and still holds.

    Raises:
        SignatureInvalid: it is not, or no more.
    """
    signed = read_signed_url(headers)
    given = headers.get(HEADER, "").encode(errors="replace")
    if not hmac.compare_digest(given, signed.signature(key).encode()):
        raise SignatureInvalid("The signature does not belong to these paths, methods and expiry")
    if read_moment(signed.expires) <= now:
        raise SignatureInvalid("The signed URL has expired", expires=signed.expires)
    return signed


def check_scope(headers: Mapping[str, str], method: str, *paths: str) -> None:
    """Return if the request is not signed, or if its signed URL covers one of the paths.

    Raises:
        SignatureInvalid: it does not.
    """
    if HEADER in headers:
        signed = read_signed_url(headers)
        if not any(signed.covers(method, path) for path in paths):
            raise SignatureInvalid("The signed URL does not permit this method on this path")


def read_moment(text: str) -> datetime:
    """A time in ISO 8601, in UTC where it does not say.

    Raises:
        SignatureInvalid: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SignatureInvalid("The expiry of the signed URL is not a time") from None


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
