"""The one way to URLs that users give: found, checked, connected to, followed and limited here.

A name is resolved once; each address it has is checked, and the connection goes to a checked
address and nowhere else, with TLS for the name. Every redirect starts over. Proxies of the
environment are not used: they would resolve by themselves.
"""

import ssl
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from urllib.parse import urljoin

from msgspec import Struct

from kilo_common.fetch.connections import Connections, Resolver, reason
from kilo_common.fetch.errors import FetchFailed, FetchRefused, FetchTooLarge
from kilo_common.fetch.exchange import Answer, Broken, send
from kilo_common.fetch.guard import Guard, Target
from kilo_common.fetch.policy import FetchPolicy
from kilo_common.fetch.sockets import TimedSocket

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPS_METHOD = frozenset({307, 308})
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
     "expect", "keep-alive", "proxy-authorization", "proxy-connection"}
)  # fmt: skip
_SECRET = frozenset({"authorization", "cookie", "x-auth-token", "x-service-token"})


class FetchAnswer(Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    """Its beginning, where it is longer than was asked for."""


class FetchStream:
    """An answer whose body is read bit by bit, by one thread. Close it."""

    def __init__(
        self,
        answer: Answer,
        connection: TimedSocket,
        url: str,
        max_bytes: int,
        connections: Connections,
        target: Target,
    ) -> None:
        self.url = url
        """Where redirects have led."""
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.length = answer.length
        """The bytes of the body, if the other side says."""
        self._answer = answer
        self._connection: TimedSocket | None = connection
        self._max_bytes = max_bytes
        self._received = 0
        self._connections = connections
        self._target = target
        self._aborted = False

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty at the end, and only there.

        Raises:
            FetchFailed: the other side broke off, fell silent, or takes too long.
            FetchTooLarge: there is more than the policy lets in.
        """
        try:
            data = self._answer.read(size)
        except (OSError, Broken) as fault:
            of = "" if self.length is None else f" of {self.length}"
            raise FetchFailed(
                f"{self.url} broke off after {self._received}{of} bytes: {reason(fault)}"
            ) from fault
        if self._aborted:
            raise FetchFailed(f"{self.url} was given up after {self._received} bytes")
        self._received += len(data)
        if self._received > self._max_bytes:
            raise _too_large(self.url, self._max_bytes)
        return data

    def abort(self) -> None:
        """Have a `read` that waits in another thread, and every later one, fail now."""
        self._aborted = True
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Let go of the connection; twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._answer.reusable:
            self._connections.keep(self._target, connection)
        else:
            connection.shut()

    def __enter__(self) -> "FetchStream":
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()


class Fetcher:
    """Asks for URLs under one policy. May be used by any number of threads."""

    def __init__(
        self,
        policy: FetchPolicy,
        executor: Executor | None = None,
        *,
        resolve: Resolver | None = None,
        keep: int = 0,
    ) -> None:
        """With an `executor`, names are resolved in its threads and given up in time. With `keep`,
        up to so many connections are kept for the next request; then close the fetcher at its end.

        Raises:
            ConfigInvalid: a network in the policy is none, or there are no certificates.
        """
        self._policy = policy
        self._guard = Guard(policy)
        self._keep = keep > 0
        self._connections = Connections(policy, self._guard, executor, resolve, keep)

    def close(self) -> None:
        """Close the connections that are kept; the fetcher may be used on."""
        self._connections.close()

    def check(self, url: object) -> None:
        """Return if the URL may be asked for as far as its text tells; nothing is resolved.

        Raises:
            FetchRefused: it may not.
        """
        self._guard.check_url(url)

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        offset: int = 0,
        length: int | None = None,
    ) -> FetchStream:
        """The body from `offset` on (`length` bytes of it), following redirects.

        A server that knows no ranges is made to: what comes before `offset` is skipped.

        Raises:
            FetchRefused: the URL, or one that it leads to, is not allowed.
            FetchTooLarge: it says to have more than the policy lets in.
            FetchFailed: no answer, or one that is neither 200 nor 206.
        """
        asked = dict(headers or {})
        if offset or length is not None:
            last = "" if length is None else str(offset + max(length, 1) - 1)
            asked["Range"] = f"bytes={offset}-{last}"
        stream = self._follow("GET", url, asked, None)
        try:
            return self._from_offset(stream, offset)
        except BaseException:
            stream.close()
            raise

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_answer: int = 65536,
    ) -> FetchAnswer:
        """Send `body` and return the answer, whatever its status. Of a body longer than
        `max_answer` only the beginning is read.

        Redirects are followed that keep the method and the body (307, 308; for GET and HEAD all);
        other answers of that kind are returned as they are.

        Raises:
            FetchRefused: the URL, or one that it leads to, is not allowed.
            FetchFailed: no answer.
        """
        with self._follow(method, url, headers or {}, body) as stream:
            pieces: list[bytes] = []
            left = max_answer
            while left > 0 and (piece := stream.read(min(left, 65536))):
                pieces.append(piece)
                left -= len(piece)
            return FetchAnswer(stream.status, stream.headers, b"".join(pieces))

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> FetchStream:
        deadline = time.monotonic() + self._policy.total_timeout
        headers = _checked(headers)
        target = self._guard.check_url(url)
        for _ in range(self._policy.max_redirects + 1):
            stream = self._ask(method, target, url, headers, body, deadline)
            location = stream.headers.get("location")
            follow = stream.status in _KEEPS_METHOD or (
                stream.status in _REDIRECTS and method in ("GET", "HEAD")
            )
            if not follow or location is None:
                return stream
            stream.close()
            url = _join(url, location)
            before, target = target, self._guard.check_url(url)
            if target.origin != before.origin:
                # What one server was trusted with is not for the next.
                headers = {
                    name: value for name, value in headers.items() if name.lower() not in _SECRET
                }
        raise FetchFailed(f"More than {self._policy.max_redirects} redirects")

    def _ask(
        self,
        method: str,
        target: Target,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        deadline: float,
    ) -> FetchStream:
        connection = self._connections.kept(target, deadline)
        if connection is not None:
            try:
                return self._exchange(connection, method, target, url, headers, body)
            except Broken as fault:
                if not fault.silent:
                    raise FetchFailed(f"{url} does not answer: {fault}") from fault
                # It was closed while nobody used it; what was sent was not taken in.
        connection = self._connections.open(target, deadline)
        try:
            return self._exchange(connection, method, target, url, headers, body)
        except Broken as fault:
            raise FetchFailed(f"{url} does not answer: {fault}") from fault

    def _exchange(
        self,
        connection: TimedSocket,
        method: str,
        target: Target,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> FetchStream:
        answer = Answer(connection, method)
        try:
            send(connection, method, target, headers, body, keep=self._keep)
            answer.read_head()
        except OSError as fault:
            connection.shut()
            # Who only falls silent may have the request in hand.
            closed = isinstance(fault, ConnectionError | ssl.SSLEOFError)
            raise Broken(reason(fault), silent=closed and answer.silent) from fault
        except BaseException:
            connection.shut()
            raise
        return FetchStream(
            answer, connection, url, self._policy.max_bytes, self._connections, target
        )

    def _from_offset(self, stream: FetchStream, offset: int) -> FetchStream:
        if stream.status not in (200, 206):
            raise FetchFailed(f"{stream.url} answers {stream.status}", status=stream.status)
        if stream.length is not None and stream.length > self._policy.max_bytes:
            raise _too_large(stream.url, self._policy.max_bytes)
        if stream.status == 206:
            start = stream.headers.get("content-range", "").replace("bytes ", "").partition("-")[0]
            if start != str(offset):
                raise FetchFailed(f"{stream.url} answers with another range than was asked for")
            return stream
        left = offset
        while left and (skipped := stream.read(min(left, 1 << 20))):
            left -= len(skipped)
        return stream


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name in headers:
        if name.lower() in _OURS:
            raise FetchRefused(f"The header {name[:64]} is not one to set", header=name[:64])
    return headers


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as fault:
        raise FetchRefused(f"{url} leads to something that is not a URL: {fault}") from None


def _too_large(url: str, limit: int) -> FetchTooLarge:
    return FetchTooLarge(f"{url} has more than the {limit} bytes that are taken in", limit=limit)
