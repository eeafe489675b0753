"""What `kilostack bus` is made of: a connection, arguments as text, notifications as lines."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kilo_catalog.service.events import DECLARATION as CATALOG
from kilo_common.bus.asyncapi import document
from kilo_common.bus.connect import open_transport
from kilo_common.bus.envelope import Notification
from kilo_common.bus.transport import Capability, Transport
from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid, InvalidInput
from kilo_common.settings import BusSettings
from kilo_messaging.service.declaration import DECLARATION as MESSAGING

SERVICES = (CATALOG, MESSAGING)
_BROKERS_WITH_TEMPORARY_QUEUES = frozenset({"rabbit", "amqp", "qpid"})


class ArgumentUnreadable(InvalidInput):
    """An argument on the command line is not NAME=VALUE."""

    code = "deploy.argument_unreadable"


def describe(settings: BusSettings) -> dict[str, Any]:
    """The AsyncAPI document of the services."""
    return document(
        SERVICES,
        title="Kilostack's bus",
        version=_version(),
        exchange=settings.exchange,
        notification_topic=settings.notification_topic,
    )


def _version() -> str:
    try:
        return metadata.version("kilostack")
    except metadata.PackageNotFoundError:
        return "0"  # a checkout that is run without being installed


@contextmanager
def connected(url: str) -> Iterator[Transport]:
    """A started transport.

    Raises:
        ConfigInvalid: the URL is wrong, or is of a bus that ends at the process.
        BusUnavailable: the broker cannot be reached.
    """
    transport = open_transport(url)
    if Capability.BETWEEN_PROCESSES not in transport.capabilities:
        raise ConfigInvalid(
            f"{url} is a bus inside one process, and this command is another process: nobody can "
            "be reached there. Give the URL of a broker that the services use too, with --url or "
            "as bus.url (such as rabbit://guest:guest@127.0.0.1:5672/). What a stack of `kilostack "
            "up` announces is shown by: kilostack topics watch catalog.events",
            key="bus.url",
        )
    transport.start()
    try:
        yield transport
    finally:
        transport.stop(2.0)


def for_watching(url: str) -> str:
    """`url`, and where the broker can do it, so that a queue goes when its watcher has gone."""
    parts = urlsplit(url)
    if parts.scheme not in _BROKERS_WITH_TEMPORARY_QUEUES:
        return url
    if "temporary" in dict(parse_qsl(parts.query, keep_blank_values=True)):
        return url
    return f"{url}{'&' if '?' in url else '?'}temporary=true"


def parse_arguments(texts: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` as a mapping; a value is JSON if it can be read as that, and text otherwise.

    Raises:
        ArgumentUnreadable: one has no name or no `=`.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ArgumentUnreadable(f"{text!r} is not NAME=VALUE", argument=text)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def context_of(project: str) -> RequestContext:
    """The context of somebody at a terminal."""
    return RequestContext(project_id=project, user_id="terminal", roles=("admin",))


def as_json(notification: Notification) -> str:
    """All of a notification on one line."""
    return json.dumps(
        {
            "event_type": notification.event_type,
            "priority": notification.priority,
            "publisher_id": notification.publisher_id,
            **notification.metadata,
            "context": dict(notification.context),
            "payload": notification.payload,
        }
    )


def one_line(notification: Notification) -> str:
    """Time, priority, event, and what of the payload tells what it is about."""
    payload = notification.payload if isinstance(notification.payload, dict) else {}
    facts = [f"{key}={payload[key]}" for key in ("id", "name", "status", "size") if key in payload]
    project = notification.context.get("project_id")
    where = [f"project={project}"] if project else []
    return " ".join(
        (
            notification.timestamp[11:23],
            notification.priority,
            notification.event_type,
            *facts,
            *where,
            f"({notification.publisher_id})",
        )
    )


class Countdown:
    """Counts what was shown, and says when that is enough; without a number never."""

    def __init__(self, count: int | None, enough: Callable[[], None]) -> None:
        self._left = count
        self._enough = enough

    @property
    def done(self) -> bool:
        """Whether nothing more is wanted."""
        return self._left == 0

    def one(self) -> None:
        """One was shown."""
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._enough()
