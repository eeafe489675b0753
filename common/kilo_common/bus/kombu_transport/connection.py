"""Making a connection to one of a URL's brokers."""

import socket

import kombu
from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError
from kombu.transport import pyamqp

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.kombu_transport.profile import Profile
from kilo_common.bus.url import BusUrl

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


def connect(url: BusUrl, profile: Profile, turn: int) -> kombu.Connection:
    """A connection to one of the brokers, the `turn`th first.

    Raises:
        BusUnavailable: none of them answers.
    """
    fault: Exception | None = None
    heartbeat = url.number("heartbeat", HEARTBEAT)
    for step in range(len(url.brokers)):
        broker = url.brokers[(turn + step) % len(url.brokers)]
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
        try:
            # Not `connect`: it sleeps between attempts of its own.
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        except (AMQPError, OperationalError, OSError) as reason:
            fault = reason
            continue
        return connection
    names = ", ".join(f"{each.host}:{each.port}" for each in url.brokers)
    raise BusUnavailable(f"The broker at {names} cannot be reached: {fault}", brokers=names)
