"""One connection to the service: requests with their answers, and pushes in between."""

import itertools
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import websocket

from kilo_common.errors import KiloError, Unavailable

SILENCE = 75.0
"""Seconds; a server that lives pings more often than that."""
GetHeaders = Callable[[], Mapping[str, str]]
"""Says who asks: `X-Auth-Token` or whatever the service wants; asked at each connection."""


class ClientFault(KiloError):
    """Something went wrong between this client and the service."""

    code = "messaging.client"


class ServiceUnreachable(ClientFault, Unavailable):
    """Nothing answers, or the connection was cut."""

    code = "messaging.client.unreachable"


class RequestRefused(ClientFault):
    """The service answered with an error; `status` is HTTP's, `reason` a stable dotted code."""

    code = "messaging.client.refused"

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message, status=status, reason=reason)
        self.status = status
        self.reason = reason


class Link:
    """An open connection, authenticated. To be used by one thread."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        """Connect and authenticate.

        Raises:
            ServiceUnreachable: nothing answers within `timeout` seconds.
            RequestRefused: the service does not know who asks.
        """
        self._url = url
        self._timeout = timeout
        self._numbers = itertools.count(1)
        self._pushes: deque[dict[str, Any]] = deque()
        try:
            self._socket = websocket.create_connection(url, timeout=timeout)
        except (OSError, ValueError, websocket.WebSocketException) as fault:
            raise ServiceUnreachable(
                f"No messaging service answers at {url} ({fault}): is it running? "
                "A stack is started with: kilostack up",
                url=url,
            ) from None
        try:
            self.ask("authenticate", {}, headers)
        except BaseException:
            self.close()
            raise

    def ask(
        self, action: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Any:
        """The body of the answer.

        Raises:
            RequestRefused: an error is the answer.
            ServiceUnreachable: there is none; whether it was done cannot be known.
        """
        number = next(self._numbers)
        request = {"action": action, "headers": headers or {}, "body": body, "request_id": number}
        try:
            self._socket.settimeout(self._timeout)
            self._socket.send(json.dumps(request))
        except (OSError, websocket.WebSocketException) as fault:
            raise self._cut(fault) from None
        while True:
            frame = self._receive()
            if frame.get("request_id") == number:
                break
            self._pushes.append(frame)
        status = frame["headers"]["status"]
        if status >= 400:
            said = frame.get("body") or {}
            raise RequestRefused(said.get("error", ""), status, said.get("code", ""))
        return frame["body"]

    def push(self) -> dict[str, Any]:
        """The next push, when it comes.

        Raises:
            ServiceUnreachable: the connection was cut.
        """
        if not self._pushes:
            self._socket.settimeout(SILENCE)
            self._pushes.append(self._receive())
        return self._pushes.popleft()

    def close(self) -> None:
        """End the connection; another thread that waits on it is woken."""
        self._socket.shutdown()

    def _receive(self) -> dict[str, Any]:
        try:
            text = self._socket.recv()  # pings are answered in there
            frame = json.loads(text) if text else None
        except (OSError, ValueError, websocket.WebSocketException) as fault:
            raise self._cut(fault) from None
        if not isinstance(frame, dict):
            raise self._cut("it was closed")
        return frame

    def _cut(self, why: object) -> ServiceUnreachable:
        self.close()
        return ServiceUnreachable(f"The connection to {self._url} ended: {why}", url=self._url)
