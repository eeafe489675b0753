"""The HTTP API as a WSGI application: requests in, answers out, and nothing decided here.

It routes by itself: the API has one table of paths and one dispatcher behind it, so a web framework
would only wrap each answer once more on the way of every single message.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from kilo_common.context import RequestContext
from kilo_common.errors import TooLarge
from kilo_common.http.body import read_body
from kilo_common.http.gateway import (
    CONTEXT_KEY,
    Environ,
    Headers,
    RequestHeaders,
    StartResponse,
)
from kilo_common.http.upgrade import ENDING_KEY, is_websocket
from kilo_messaging.domain.signed_url import check_scope
from kilo_messaging.errors import (
    FormRefused,
    LimitExceeded,
    MethodRefused,
    OnlyJson,
    ParameterInvalid,
    PatchMediaUnsupported,
)
from kilo_messaging.protocol.core import Dispatcher, Request, Response
from kilo_messaging.service.arrivals import never
from kilo_messaging.service.connection_subscriptions import END
from kilo_messaging.transport.http.documents import HOME_TYPE, home_document, versions_document
from kilo_messaging.transport.http.event_stream import EVENT_STREAM, EventStreams
from kilo_messaging.transport.http.routes import Route, find_route

JSON = "application/json"
PATCH_TYPE = "application/openstack-messaging-v2.0-json-patch"
DEPRECATED_SINCE = "@1430352000"
"""The day of the plan that dropped messages by id (RFC 9745: seconds since 1970)."""
_SLASHES_OF_TOPIC = 3
"""`/v2/topics/NAME`"""
_OF_TOPICS = ("/v2/topics/", "/v2/queues/")
_TOPIC_LIST_KEYS = frozenset({"marker", "limit", "detailed", "with_count", "name"})
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
Session = Callable[[Environ], Iterable[bytes]]


class MessagingApp:
    """Messaging API v2."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        websocket: Session,
        streams: EventStreams,
        is_known: Callable[[Mapping[str, str]], bool],
        *,
        body_limit: int,
        limits: Mapping[str, Any],
    ) -> None:
        """`websocket` serves a request that asks for an upgrade, until that connection ends.

        `is_known` tells by a request's headers whether its client still is.
        """
        self._is_known = is_known
        self._streams = streams
        self._dispatcher = dispatcher
        self._websocket = websocket
        self._body_limit = body_limit
        self._versions = versions_document()
        self._home = home_document(limits)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if is_websocket(environ):
            return self._websocket(environ)
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path in ("/", ""):
            _only_get(method)
            return _send(start_response, method, Response(300, self._versions), [])
        if "HTTP_URL_SIGNATURE" in environ:
            check_scope(RequestHeaders(environ), method, path)
        if EVENT_STREAM in environ.get("HTTP_ACCEPT", "") and method in ("GET", "HEAD"):
            route = find_route(method, path)
            if route.action == "message_list":
                return self._stream(environ, start_response, route.names["topic_name"])
        check_accept(environ, HOME_TYPE if path == "/v2/" else JSON)
        if path == "/v2/":
            _only_get(method)
            self._dispatcher.check_client_id(environ.get("HTTP_CLIENT_ID"))
            return _send(
                start_response,
                method,
                Response(200, self._home),
                [("Cache-Control", "max-age=86400")],
                HOME_TYPE,
            )
        return self._call(environ, start_response, method, find_route(method, path))

    def _call(
        self, environ: Environ, start_response: StartResponse, method: str, route: Route
    ) -> Iterable[bytes]:
        query = parse_query(environ.get("QUERY_STRING", ""))
        action = route.action
        if action == "message_list" and "ids" in query:
            action = "message_get_many"
        context: RequestContext = environ[CONTEXT_KEY]
        response = self._dispatcher.handle(
            Request(
                action=action,
                context=context,
                client_id=environ.get("HTTP_CLIENT_ID"),
                token=environ.get("HTTP_X_AUTH_TOKEN", ""),
                params=_params(action, query, route.names),
                document=self._document(environ, method),
                base=route.base,
                ending=environ.get(ENDING_KEY, never),
            )
        )
        extra = [("Deprecation", DEPRECATED_SINCE)] if action == "message_get" else []
        return _send(start_response, method, response, extra)

    def _stream(
        self, environ: Environ, start_response: StartResponse, topic_name: str
    ) -> Iterable[bytes]:
        """Follow the topic. No Client-ID is needed: an EventSource cannot send one."""
        query = parse_query(environ.get("QUERY_STRING", ""))
        start = environ.get("HTTP_LAST_EVENT_ID") or query.get("cursor", END)
        context: RequestContext = environ[CONTEXT_KEY]
        stream = self._streams.open(
            context,
            topic_name,
            start,
            environ.get(ENDING_KEY, never),
            lambda: self._is_known(RequestHeaders(environ)),
        )
        # A proxy that collects what it passes on would keep the events from the client.
        headers = [("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")]
        start_response("200 OK", [("Content-Type", EVENT_STREAM), *headers])
        if environ["REQUEST_METHOD"] == "HEAD":
            stream.close()
            return []
        return stream

    def _document(self, environ: Environ, method: str) -> bytes | None:
        """The body of a request that may have one; None if it is empty."""
        if method not in ("POST", "PUT", "PATCH"):
            return None
        try:
            body = read_body(environ, self._body_limit)
        except TooLarge as fault:
            # The clients of this API know 400 for every limit, and take 413 for a success.
            raise LimitExceeded(fault.message, **fault.details) from None
        check_content_type(environ, method, bool(body))
        return body if body.strip() else None


def check_accept(environ: Environ, offered: str) -> None:
    """Return if the client takes JSON.

    Raises:
        OnlyJson: it does not.
    """
    accept: str = environ.get("HTTP_ACCEPT", "")
    if not accept or accept == "*/*":
        return
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        refused = any(_is_zero(parameter) for parameter in parameters)
        if kind in ("*/*", "application/*", JSON, offered) and not refused:
            return
    raise OnlyJson(f"This API answers in {offered}; the Accept header does not admit it")


def check_content_type(environ: Environ, method: str, has_body: bool) -> None:
    """Return if the body may be taken for what we expect.

    Raises:
        FormRefused: it is declared as an HTML form.
        PatchMediaUnsupported: a PATCH of a topic is not declared as the patch that it must be.
    """
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if has_body and kind == "application/x-www-form-urlencoded":
        raise FormRefused("Send JSON, with the header Content-Type: application/json")
    path = environ["PATH_INFO"]
    of_topic = path.count("/") == _SLASHES_OF_TOPIC and path.startswith(_OF_TOPICS)
    if method == "PATCH" and of_topic and kind != PATCH_TYPE:
        raise PatchMediaUnsupported(
            f"A topic is changed with Content-Type: {PATCH_TYPE}",
            headers={"Accept-Patch": PATCH_TYPE},
        )


def parse_query(text: str) -> dict[str, Any]:
    """A query string's parameters: the last of each name, but all `ids`, separated by commas too.

    Raises:
        ParameterInvalid: it is not UTF-8, or has far too many parts.
    """
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError as fault:
        raise ParameterInvalid(f"The query string cannot be read: {fault}") from None
    query: dict[str, Any] = {}
    for name, value in pairs:
        if name in ("ids", "claim_ids"):
            query.setdefault(name, []).extend(each for each in value.split(",") if each)
        else:
            query[name] = value
    return query


def _params(action: str, query: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    if action != "queue_list":
        return query | names
    known = {name: value for name, value in query.items() if name in _TOPIC_LIST_KEYS}
    filters = {
        name: value
        for name, value in query.items()
        if name not in _TOPIC_LIST_KEYS and isinstance(value, str)
    }
    return known | {"filters": filters}


def _send(
    start_response: StartResponse,
    method: str,
    response: Response,
    extra: Headers,
    content_type: str = JSON,
) -> Iterable[bytes]:
    headers: Headers = [*extra]
    if response.location is not None:
        headers.append(("Location", response.location))
    if response.body is None:
        if response.status != 204:
            headers.append(("Content-Length", "0"))
        start_response(_STATUS_LINES[response.status], headers)
        return []
    headers.append(("Content-Type", content_type))
    headers.append(("Content-Length", str(len(response.body))))
    start_response(_STATUS_LINES[response.status], headers)
    return [] if method == "HEAD" else [response.body]


def _only_get(method: str) -> None:
    if method not in ("GET", "HEAD"):
        raise MethodRefused(
            f"{method} is not possible here; possible: GET, HEAD", headers={"Allow": "GET, HEAD"}
        )


def _is_zero(parameter: str) -> bool:
    """Whether it is `q=0`: the client does not want this kind."""
    name, _equals, value = parameter.partition("=")
    return name.strip() == "q" and value.strip().rstrip("0") in ("", "0.")
