"""Making a connection to one of a URL's brokers."""

import logging
import socket
from dataclasses import dataclass

import kombu
from amqp.exceptions import AMQPError
from amqp.exceptions import ConnectionError as AMQPConnectionError
from kombu.exceptions import OperationalError
from kombu.transport import pyamqp

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.kombu_transport.profile import Profile
from kilo_common.bus.url import Broker, BusUrl

log = logging.getLogger(__name__)
HEARTBEAT = 10
"""Seconds; a broker that is silent for twice as long is taken for gone."""
CONNECT_TIMEOUT = 5.0
BACKOFF = (0.1, 1.5)
"""Seconds between attempts to reconnect: the first, and the most. A broker that comes back is used
within two seconds."""


class _CoreConnection(pyamqp.Connection):  # type: ignore[misc]  # kombu is untyped
    negotiate_capabilities: dict[str, bool] = {}  # noqa: RUF012 - overrides py-amqp's


class CoreTransport(pyamqp.Transport):  # type: ignore[misc]  # kombu is untyped
    """AMQP 0-9-1 without any extension, whatever the broker offers."""

    Connection = _CoreConnection


def backoff(attempt: int) -> float:
    """Seconds to wait after the `attempt`th failure in a row, the first being 1."""
    first, most = BACKOFF
    return min(most, first * 2.0 ** min(attempt - 1, 16))


@dataclass(frozen=True)
class Connected:
    """A connection, and what is known of the broker at its end."""

    connection: kombu.Connection
    durable_only: bool
    """The broker refuses shared queues that are not durable, as RabbitMQ may from 4.0 on."""


def connect(url: BusUrl, profile: Profile, turn: int) -> Connected:
    """A connection to one of the brokers, the `turn`th first.

    Raises:
        BusUnavailable: none of them answers.
    """
    fault: Exception | None = None
    for step in range(len(url.brokers)):
        broker = url.brokers[(turn + step) % len(url.brokers)]
        try:
            connection = _connect(url, broker, profile)
            if not _may_refuse(connection) or _takes_transient_queues(connection):
                return Connected(connection, durable_only=False)
            return Connected(_connect(url, broker, profile), durable_only=True)
        except (AMQPError, OperationalError, OSError) as reason:
            fault = reason
    names = ", ".join(f"{each.host}:{each.port}" for each in url.brokers)
    raise BusUnavailable(
        f"The broker at {names} cannot be reached: {fault}",
        may_have_been_published=False,
        brokers=names,
    )


def _connect(url: BusUrl, broker: Broker, profile: Profile) -> kombu.Connection:
    heartbeat = url.number("heartbeat", HEARTBEAT)
    connection = kombu.Connection(
        hostname=broker.host,
        port=broker.port,
        userid=broker.user,
        password=broker.password,
        virtual_host=url.virtual_host,
        transport="pyamqp" if profile.extensions else CoreTransport,
        heartbeat=heartbeat,
        connect_timeout=CONNECT_TIMEOUT,
        transport_options={
            "read_timeout": CONNECT_TIMEOUT,
            # By itself py-amqp gives up on a peer that acknowledges nothing for a second.
            "socket_settings": {socket.TCP_USER_TIMEOUT: 2000 * heartbeat},
            "client_properties": {"connection_name": "kilostack", **profile.client_properties},
        },
    )
    # Not `connect`: it sleeps between attempts of its own.
    connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    return connection


def _may_refuse(connection: kombu.Connection) -> bool:
    """Whether this is a RabbitMQ 4 or newer, where the operator decides about transient queues."""
    says = connection.connection.server_properties
    major = str(says.get("version", "")).partition(".")[0]
    return says.get("product") == "RabbitMQ" and major.isdigit() and int(major) >= 4


def _takes_transient_queues(connection: kombu.Connection) -> bool:
    """Whether the broker lets us declare one. A refusal costs the connection, so this is found out
    before anybody relies on it."""
    channel = connection.connection.channel()
    try:
        name, _, _ = channel.queue_declare(durable=False, exclusive=False, auto_delete=True)
    except AMQPConnectionError as refusal:
        log.info("the broker takes no transient queues: %s", refusal)
        return False
    channel.queue_delete(name)
    channel.close()
    return True
