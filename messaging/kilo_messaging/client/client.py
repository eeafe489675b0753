"""What a program does with topics, over a connection that is made again where it breaks."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from kilo_common.errors import Unavailable
from kilo_messaging.client.link import GetHeaders, Link, ServiceUnreachable

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds between attempts to connect; each pause is twice the one before."""


@dataclass(frozen=True)
class Message:
    """A message of a topic that is followed."""

    topic: str
    id: str
    body: Any
    ttl: int
    cursor: str
    """The place behind it: who keeps it can go on from there, later and elsewhere."""
    group: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0


class MessagingClient:
    """One client of the service. To be used by one thread; `close` may come from any."""

    def __init__(
        self,
        url: str,
        *,
        project: str = "",
        headers: GetHeaders | None = None,
        client_id: str | None = None,
        timeout: float = 30.0,
        attempts: int = 8,
    ) -> None:
        """Nothing is connected yet.

        `url` begins with `ws://` or `wss://`. `headers` are asked for at each connection, so that
        they can bring a fresh token. An attempt takes `timeout` seconds at most. The first
        connection is tried once, so that a wrong URL shows; one that breaks later is tried again,
        with growing pauses, and after `attempts` in a row a call gives up.
        """
        self._url = url
        self._headers = headers or (lambda: {})
        self._names = {"Client-ID": client_id or str(uuid4())}
        if project:
            self._names["X-Project-ID"] = project
        self._timeout = timeout
        self._attempts = attempts
        self._link: Link | None = None
        self._was_connected = False
        self._closed = threading.Event()

    def __enter__(self) -> "MessagingClient":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End; a call under way in another thread ends too."""
        self._closed.set()
        if self._link is not None:
            self._link.close()

    def post(self, topic: str, *bodies: Any, ttl: int | None = None, **more: Any) -> list[str]:
        """Post messages; their ids. Each is added once, also where the connection breaks meanwhile.

        `more` goes into each message: `delay`, `group`, `priority`, `attributes`.

        Raises:
            RequestRefused, ServiceUnreachable
        """
        if ttl is not None:
            more["ttl"] = ttl
        messages = [{"body": each, "deduplication_id": str(uuid4()), **more} for each in bodies]
        answer = self._try(lambda link: link.ask("message_post", _of(topic, messages=messages)))
        ids: list[str] = answer["message_ids"]
        return ids

    def claim(
        self, topic: str, *, limit: int = 10, wait: int = 0, ttl: int = 300, grace: int = 60
    ) -> tuple[str, list[dict[str, Any]]]:
        """Claim messages: the claim's id and what it holds; `("", [])` where there is nothing.

        Raises:
            RequestRefused
            ServiceUnreachable: what was claimed meanwhile comes back when its time is up.
        """
        body = _of(topic, limit=limit, wait=wait, ttl=ttl, grace=grace)
        answer = self._try(lambda link: link.ask("claim_create", body))
        return (answer["claim_id"], answer["messages"]) if answer else ("", [])

    def delete(self, topic: str, ids: Sequence[str]) -> None:
        """Remove messages, such as those of a claim that are done. Raises as `post`."""
        body = _of(topic, message_ids=list(ids))
        self._try(lambda link: link.ask("message_delete_many", body))

    def ask(self, action: str, **body: Any) -> Any:
        """Any other action of the service, such as `queue_get_stats`; the body of its answer.

        It is tried once: whether one that changes something can be repeated, the caller knows.

        Raises:
            RequestRefused, ServiceUnreachable
        """
        return self._connect().ask(action, body)

    def follow(
        self, topic: str, cursor: str = "end", *, begun: Callable[[], None] = lambda: None
    ) -> Iterator[Message]:
        """Every message that is kept behind `cursor`, in order, and then those that come.

        `end` is from now on, `start` all that is kept. Where the connection breaks it is made
        again, and nothing that is still kept is missed. It ends with `close`. Other calls may be
        made between two messages; another topic takes another client. `begun` is called at each
        connection: what is posted from then on is not missed.

        Raises:
            RequestRefused: the topic cannot be followed.
            ServiceUnreachable: the service does not come back.
        """
        try:
            while True:
                # The place is known from here on, also that of `end`.
                cursor = self._subscribe(topic, cursor)
                begun()
                try:
                    while True:
                        frame = self._connected().push()
                        if frame.get("queue_name") == topic and "cursor" in frame:
                            cursor = frame["cursor"]
                            yield _message(frame)
                except ServiceUnreachable:
                    self._drop()
        except ServiceUnreachable:
            if not self._closed.is_set():
                raise
        finally:
            self._drop()  # and with the connection the subscription

    def _subscribe(self, topic: str, cursor: str) -> str:
        body = _of(topic, cursor=cursor)
        answer = self._try(lambda link: link.ask("subscription_create", body))
        place: str = answer["cursor"]
        return place

    def _try(self, work: Callable[[Link], T]) -> T:
        """Do something that may be done twice, as often as it takes."""
        pause = FIRST_PAUSE
        for attempt in range(1, self._attempts + 1):
            try:
                return work(self._connect())
            except ServiceUnreachable:
                self._drop()
                is_new = not self._was_connected
                if attempt == self._attempts or is_new or self._closed.is_set():
                    raise
            # So that many clients of a server that comes back do not come all at once.
            self._closed.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _connect(self) -> Link:
        if self._closed.is_set():
            raise ServiceUnreachable("The client was closed", url=self._url)
        if self._link is None:
            self._link = Link(self._url, self._names | self._who(), self._timeout)
            self._was_connected = True
        return self._link

    def _who(self) -> dict[str, str]:
        try:
            return dict(self._headers())
        except Unavailable as fault:
            raise ServiceUnreachable(fault.message, url=self._url) from None

    def _connected(self) -> Link:
        if self._link is None:
            raise ServiceUnreachable("The connection was lost", url=self._url)
        return self._link

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def _of(topic: str, **body: Any) -> dict[str, Any]:
    return {"queue_name": topic, **body}


def _message(frame: Mapping[str, Any]) -> Message:
    return Message(
        topic=frame["queue_name"],
        id=frame["id"],
        body=frame["body"],
        ttl=frame["ttl"],
        cursor=frame["cursor"],
        group=frame.get("group"),
        attributes=frame.get("attributes", {}),
        priority=frame.get("priority", 0),
    )
