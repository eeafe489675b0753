"""Follows a topic over a WebSocket: what is posted on it arrives here at once."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import websocket

from kilo_common.errors import KiloError, Unavailable


class WatchFailed(KiloError):
    """The messaging service refuses the subscription."""

    code = "deploy.watch_failed"


class StackUnreachable(Unavailable):
    """Nothing answers at the URL."""

    code = "deploy.stack_unreachable"


class TopicWatch:
    """One connection, subscribed to one topic."""

    def __init__(
        self,
        url: str,
        topic: str,
        project: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Connect and subscribe; after this, nothing that is posted is missed.

        `headers` say who asks, where the stack does not believe the name of a project.

        Raises:
            StackUnreachable: no messaging service at `url`.
            WatchFailed: it refuses, and says why.
        """
        names = {"Client-ID": str(uuid4()), "X-Project-ID": project, **(headers or {})}
        try:
            self._socket = websocket.create_connection(url, timeout=timeout or 10)
            request = {
                "action": "subscription_create",
                "headers": names,
                "body": {"queue_name": topic, "ttl": 86400},
            }
            self._socket.send(json.dumps(request))
            answer = json.loads(self._socket.recv())
            self._socket.settimeout(timeout)
        except (OSError, ValueError, websocket.WebSocketException) as fault:
            raise StackUnreachable(
                f"No messaging service answers at {url} ({fault}): is the stack running? "
                "Start it with: kilostack up",
                url=url,
            ) from None
        status = answer.get("headers", {}).get("status")
        if status not in (200, 201):
            self.close()
            reason = answer.get("body", {}).get("error", answer)
            raise WatchFailed(f"The subscription to {topic!r} is refused ({status}): {reason}")

    def messages(self) -> Iterator[Any]:
        """The bodies of the messages, as they come, until the connection ends.

        Raises:
            StackUnreachable: nothing came within the time-out, or the connection was cut.
        """
        while True:
            try:
                frame = self._socket.recv()
            except websocket.WebSocketTimeoutException:
                raise StackUnreachable("No message arrived in time") from None
            except (OSError, websocket.WebSocketException) as fault:
                raise StackUnreachable(f"The connection ended: {fault}") from None
            if not frame:
                return
            message = json.loads(frame)
            if message.get("Message_Type") == "Notification":
                yield message["body"]

    def close(self) -> None:
        """End the subscription with the connection."""
        self._socket.close()
