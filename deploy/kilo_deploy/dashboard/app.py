"""The dashboard's web application: its files, and the stack's services under paths of its own.

The page and the services have one origin, so that a browser needs no exception (CORS) to join them.
Who asks proves itself to the services as everywhere; the page has no rights of its own.
"""

import importlib.resources
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kilo_deploy.state import StackInfo

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
PAGE = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = [
    # Names of images and bodies of messages are anybody's: nothing in them may become a script.
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
]


class Dashboard:
    """A WSGI application."""

    def __init__(self, services: Mapping[str, App]) -> None:
        """`services` by the first part of their paths, such as `catalog`."""
        self._services = dict(services)
        self._about = b"{}"
        own = importlib.resources.files("kilo_deploy.dashboard") / "static"
        messaging = importlib.resources.files("kilo_messaging.browser")
        self._files = {
            f"/{each.name}": each.read_bytes()
            for folder in (messaging, own)
            for each in folder.iterdir()
            if each.is_file() and each.name.rpartition(".")[2] in _TYPES
        }
        self._files["/"] = self._files[f"/{PAGE}"]

    def show(self, info: StackInfo) -> None:
        """Let the page know the stack: what it is, never a password."""
        about = {
            "strategy": info.strategy,
            "project": info.project,
            "accounts": [
                {"username": each.username, "project": each.project} for each in info.accounts
            ],
        }
        self._about = json.dumps(about).encode()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        first, slash, rest = path.removeprefix("/").partition("/")
        service = self._services.get(first)
        if service is not None and slash:
            inner = dict(environ)
            inner["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}/{first}"
            inner["PATH_INFO"] = f"/{rest}"
            return service(inner, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _answer(start_response, "405 Method Not Allowed", "txt", b"Only GET.\n", environ)
        if path == "/stack.json":
            return _answer(start_response, "200 OK", "json", self._about, environ)
        found = self._files.get(path)
        if found is None:
            return _answer(start_response, "404 Not Found", "txt", b"Nothing here.\n", environ)
        kind = (path if path != "/" else PAGE).rpartition(".")[2]
        return _answer(start_response, "200 OK", kind, found, environ)


def _answer(
    start_response: StartResponse, status: str, kind: str, body: bytes, environ: Environ
) -> Iterable[bytes]:
    content_type = {"json": "application/json", "txt": "text/plain"} | _TYPES
    headers = [
        ("Content-Type", content_type.get(kind, "application/octet-stream")),
        ("Content-Length", str(len(body))),
        *_HEADERS,
    ]
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
