"""Cross-Origin Resource Sharing: which pages in a browser may call us (the Fetch standard)."""

from collections.abc import Sequence
from typing import Any

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSED_HEADERS = (
    "Location, X-OpenStack-Request-ID, ETag, Content-MD5, Content-Range, Tus-Resumable, "
    "Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires"
)
"""The last ones are what a browser's tus client looks at."""


def is_preflight(environ: dict[str, Any]) -> bool:
    """Whether the browser only asks for permission."""
    return (
        environ["REQUEST_METHOD"] == "OPTIONS"
        and "HTTP_ORIGIN" in environ
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )


def cors_headers(environ: dict[str, Any], origins: Sequence[str]) -> list[tuple[str, str]]:
    """The headers that grant a page access; none when its origin is not among `origins`."""
    origin = environ.get("HTTP_ORIGIN", "")
    if not origin or not ("*" in origins or origin in origins):
        return []
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Vary", "Origin"),
        ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
    ]
    if is_preflight(environ):
        wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        headers += [
            ("Access-Control-Allow-Methods", ALLOWED_METHODS),
            ("Access-Control-Allow-Headers", wanted),
            ("Access-Control-Max-Age", "600"),
        ]
    return headers


def origin_allowed(origin: str | None, origins: Sequence[str], host: str) -> bool:
    """Whether a WebSocket handshake may go on: no Origin (not a browser), our own, or a listed one.

    Browsers do not apply CORS to WebSocket, so the server has to (RFC 6455, section 10.2).
    """
    if not origin or "*" in origins or origin in origins:
        return True
    return origin.partition("://")[2] == host
