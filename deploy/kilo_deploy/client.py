"""A small HTTP client for the demo: JSON in and out, bytes streamed up and down."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from kilo_common.errors import Failure
from kilo_deploy.watch import StackUnreachable

TIMEOUT = 30.0
BLOCK = 256 * 1024


class RequestRefused(Failure):
    """A service answered with an error."""

    code = "deploy.request_refused"


class ApiClient:
    """Requests to one service for one project."""

    def __init__(self, url: str, headers: Mapping[str, str], *, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._headers = dict(headers)
        self._timeout = timeout

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON, and return the JSON of the answer, or None if it has no body.

        Raises:
            RequestRefused: the status is 400 or above.
            StackUnreachable: no answer.
        """
        data = None if body is None else json.dumps(body).encode()
        with self._send(method, path, data, {"Content-Type": "application/json"}) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def post_for_header(self, path: str, body: Any, header: str) -> str:
        """Send JSON, and return a header of the answer. Raises as `json` does."""
        data = json.dumps(body).encode()
        with self._send("POST", path, data, {"Content-Type": "application/json"}) as answer:
            answer.read()
            return answer.getheader(header, "")

    def upload(
        self,
        path: str,
        blocks: Iterable[bytes],
        size: int,
        content_type: str = "application/octet-stream",
    ) -> None:
        """PUT bytes, block by block. Raises as `json` does."""
        headers = {"Content-Type": content_type, "Content-Length": str(size)}
        with self._send("PUT", path, blocks, headers) as answer:
            answer.read()

    def download(self, path: str) -> Iterator[bytes]:
        """GET bytes, block by block. Raises as `json` does."""
        with self._send("GET", path, None, {}) as answer:
            while block := answer.read(BLOCK):
                yield block

    @contextmanager
    def _send(
        self, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> Iterator[HTTPResponse]:
        host, port = self._address
        with closing(HTTPConnection(host, port, timeout=self._timeout)) as connection:
            try:
                connection.request(method, path, body, self._headers | dict(headers))
                answer = connection.getresponse()
            except (OSError, HTTPException) as fault:
                raise StackUnreachable(f"Nothing answers at {host}:{port}: {fault}") from None
            if answer.status >= 400:
                text = answer.read(2000).decode(errors="replace")
                raise RequestRefused(f"{method} {path} answered {answer.status}: {text}")
            yield answer
