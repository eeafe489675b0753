"""Taking the socket out of a WSGI request, for a WebSocket on the same port as the API."""

import socket
from typing import Any

from kilo_common.errors import InvalidInput

TAKEOVER_KEY = "kilo.take_over"
"""Our own server offers a function under this key; gunicorn offers its socket instead."""
ENDING_KEY = "kilo.ending"
"""Under this key our own server tells, by a function, whether it is about to stop: a request that
only waits for something should then be answered."""
_GUNICORN_KEY = "gunicorn.socket"


class UpgradeUnsupported(InvalidInput):
    """The server in front of the application does not give its socket away."""

    code = "http.upgrade_unsupported"


def is_websocket(environ: dict[str, Any]) -> bool:
    """Whether the request asks to become a WebSocket (RFC 6455, section 4.1)."""
    return (
        environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        and "upgrade" in environ.get("HTTP_CONNECTION", "").lower()
    )


def take_socket(environ: dict[str, Any]) -> socket.socket:
    """The connection's socket. The server will neither read nor write it from now on.

    Raises:
        UpgradeUnsupported: this server cannot do it.
    """
    if TAKEOVER_KEY in environ:
        own: socket.socket = environ[TAKEOVER_KEY]()
        return own
    if _GUNICORN_KEY in environ:
        theirs: socket.socket = environ[_GUNICORN_KEY]
        return theirs
    raise UpgradeUnsupported("WebSocket is not available through this server")


def end_session(environ: dict[str, Any]) -> list[bytes]:
    """What the application returns once the session is over: no response is to be written."""
    if TAKEOVER_KEY not in environ:
        raise StopIteration  # how gunicorn's async workers are told so
    return []
