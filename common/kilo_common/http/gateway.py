"""The one wrapper around each application: what every request needs, whatever it asks for.

In order: request id, preflight, health and metrics, identity, the application, errors as bodies,
headers of our own, and the access log. There is one gateway per service and never a second.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

from kilo_common import ids, logs
from kilo_common.context import RequestContext, continue_trace
from kilo_common.errors import Failure, KiloError, Unauthenticated
from kilo_common.http.auth import AuthStrategy
from kilo_common.http.cors import cors_headers, is_preflight
from kilo_common.http.metrics import HttpMetrics
from kilo_common.http.outbound import FileBody
from kilo_common.http.status import status_of
from kilo_common.http.upgrade import is_websocket

Environ: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str]]
StartResponse: TypeAlias = Callable[..., Any]
WSGIApplication: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
ErrorBody: TypeAlias = Callable[[KiloError, HTTPStatus], tuple[bytes, str]]
"""Renders an error in an API's own shape: the body and its content type."""

CONTEXT_KEY = "kilo.context"
"""The key of the WSGI environment under which an application finds its RequestContext."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
log = logging.getLogger("kilo.http")


@dataclass(frozen=True)
class GatewayOptions:
    """What differs between the services."""

    service: str
    error_body: ErrorBody
    public_paths: frozenset[str] = frozenset({"/"})
    """Paths that are answered to anybody, without an identity."""
    open_upgrades: bool = False
    """A WebSocket is opened to anybody: each message on it says who sends it. Browsers cannot add
    headers to the handshake."""
    cors_origins: tuple[str, ...] = ()
    ready: Callable[[], None] = lambda: None
    """Raises a KiloError that names what the service waits for; returns when it can serve."""


class Gateway:
    """A WSGI application that serves `app` with all that both services have in common."""

    def __init__(
        self,
        app: WSGIApplication,
        options: GatewayOptions,
        auth: AuthStrategy,
        metrics: HttpMetrics,
    ) -> None:
        self._app = app
        self._options = options
        self._auth = auth
        self._metrics = metrics

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        exchange = _Exchange(environ, start_response, self._options, self._metrics)
        try:
            return exchange.watch(self._answer(environ, exchange))
        except KiloError as error:
            return exchange.watch(self._fail(exchange, error))
        except StopIteration:
            exchange.close()
            raise  # gunicorn's signal that the socket was taken over by a WebSocket
        except Exception:
            log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            failure = Failure(
                "Something went wrong on our side. The log has it under this request id.",
                request_id=exchange.context.request_id,
            )
            return exchange.watch(self._fail(exchange, failure))

    def _answer(self, environ: Environ, exchange: "_Exchange") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if is_preflight(environ):
            exchange.start_response("204 No Content", [])
            return []
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            if path == "/metrics":
                return exchange.send_text(self._metrics.render().decode())
            if path in ("/healthcheck", "/health/live"):
                return exchange.send_text("OK\n")
            if path == "/health/ready":
                self._options.ready()
                return exchange.send_text("ready\n")
        if not self._is_open(environ):
            exchange.identify(self._auth)
        return self._app(environ, exchange.start_response)

    def _is_open(self, environ: Environ) -> bool:
        if environ["PATH_INFO"] in self._options.public_paths:
            return True
        return self._options.open_upgrades and is_websocket(environ)

    def _fail(self, exchange: "_Exchange", error: KiloError) -> Iterable[bytes]:
        status = status_of(error)
        body, content_type = self._options.error_body(error, status)
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        if isinstance(error, Unauthenticated) and self._auth.challenge:
            headers.append(("WWW-Authenticate", self._auth.challenge))
        headers += [(name, str(value)) for name, value in error_headers(error).items()]
        exchange.start_response(f"{status.value} {status.phrase}", headers)
        return [b"" if exchange.method == "HEAD" else body]


def error_headers(error: KiloError) -> Mapping[str, Any]:
    """Headers an error brings along, in `details["headers"]` (`Allow`, `Accept-Patch`)."""
    found: Mapping[str, Any] = error.details.get("headers", {})
    return found


class RequestHeaders(Mapping[str, str]):
    """The request's headers with names in lower case, looked up in the environment as asked for."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        key = _KEYS.get(name) or _key_of(name)
        value: str = self._environ[key]
        return value

    # Most requests lack most headers, and what Mapping makes of `__getitem__` raises each time.

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (_KEYS.get(name) or _key_of(name)) in self._environ

    def get(self, name: str, default: Any = None) -> Any:
        """The header's value, or `default`."""
        return self._environ.get(_KEYS.get(name) or _key_of(name), default)

    def __iter__(self) -> Iterator[str]:
        for name in self._environ:
            if name.startswith("HTTP_"):
                yield name[5:].replace("_", "-").lower()

    def __len__(self) -> int:
        return sum(1 for _name in self)


def _key_of(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


_KEYS = {
    name: _key_of(name)
    for name in ("x-auth-token", "x-project-id", "x-roles", "x-user-id", "url-signature")
}
"""Those that each request is asked for."""


class _Exchange:
    """One request and its answer: its context, the headers we add, and its line in the log."""

    def __init__(
        self,
        environ: Environ,
        start_response: StartResponse,
        options: GatewayOptions,
        metrics: HttpMetrics,
    ) -> None:
        self._environ = environ
        self._start_response = start_response
        self._metrics = metrics
        self._began = time.perf_counter()
        self._status = 0
        self._sent = 0
        self._cors = cors_headers(environ, options.cors_origins) if "HTTP_ORIGIN" in environ else ()
        self.method: str = environ["REQUEST_METHOD"]
        inbound = environ.get("HTTP_X_OPENSTACK_REQUEST_ID", "")
        self.context = RequestContext(
            global_request_id=inbound if ids.is_request_id(inbound) else None,
            traceparent=continue_trace(environ.get("HTTP_TRACEPARENT")),
        )
        logs.bind(self.context)
        environ[CONTEXT_KEY] = self.context
        metrics.begin()

    def identify(self, auth: AuthStrategy) -> None:
        """Put who asks into the context."""
        who = auth.authenticate(RequestHeaders(self._environ))
        self.context = RequestContext(
            project_id=who.project_id,
            user_id=who.user_id,
            roles=who.roles,
            request_id=self.context.request_id,
            global_request_id=self.context.global_request_id,
            traceparent=self.context.traceparent,
        )
        logs.bind(self.context)
        self._environ[CONTEXT_KEY] = self.context

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Any:
        """The application's `start_response`, with our headers added."""
        self._status = int(status[:3])
        own = [("X-OpenStack-Request-ID", self.context.request_id), *self._cors]
        if exc_info:
            return self._start_response(status, [*headers, *own], exc_info)
        return self._start_response(status, [*headers, *own])

    def send_text(self, text: str) -> Iterable[bytes]:
        body = text.encode()
        self.start_response(
            "200 OK",
            [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(body))),
            ],
        )
        return [b"" if self.method == "HEAD" else body]

    def watch(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """`body`, with the access log written when it has been sent or the client has gone.

        A body that is whole already is as good as sent.
        """
        if type(body) is list:
            self._sent = sum(map(len, body))
            self.close()
            return body
        if isinstance(body, FileBody):
            body.on_sent, body.on_close = self.sent, self.close
            return body
        return _WatchedBody(body, self)

    def sent(self, count: int) -> None:
        self._sent += count

    def close(self) -> None:
        """Write the access log line and let go of the context."""
        seconds = time.perf_counter() - self._began
        method = self.method if self.method in _METHODS else "OTHER"
        self._metrics.end(method, self._status, seconds)
        log.info(
            "%s %s %s %d bytes %.1f ms",
            self.method,
            self._environ["PATH_INFO"],
            self._status or "-",
            self._sent,
            seconds * 1000,
        )
        logs.forget()


class _WatchedBody:
    """A response body that reports its size and its end."""

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._exchange.sent(len(piece))
            yield piece

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._exchange.close()
