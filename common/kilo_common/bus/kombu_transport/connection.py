"""Connecting to a broker, and declaring there what a plan says."""

import contextlib
import logging
import socket

import kombu
from amqp.exceptions import AMQPError, PreconditionFailed
from kombu.exceptions import OperationalError

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.topology import ExchangePlan, QueuePlan
from kilo_common.bus.url import BusUrl

log = logging.getLogger(__name__)
HEARTBEAT = 30
CONNECT_TIMEOUT = 5.0
BACKOFF = (0.2, 10.0)
"""Seconds between attempts to reconnect: the first, and the most."""
BROKER_ERRORS = (AMQPError, OperationalError, OSError)


def backoff(attempt: int) -> float:
    """Seconds to wait after the `attempt`th failure in a row, the first being 1."""
    first, most = BACKOFF
    return min(most, first * 2.0 ** min(attempt - 1, 16))


def connect(url: BusUrl, turn: int, *, confirm: bool) -> kombu.Connection:
    """A connection to one of the brokers, the `turn`th first.

    Raises:
        BusUnavailable: none of them answers.
    """
    fault: Exception | None = None
    for step in range(len(url.brokers)):
        broker = url.brokers[(turn + step) % len(url.brokers)]
        connection = kombu.Connection(
            hostname=broker.host,
            port=broker.port,
            userid=broker.user,
            password=broker.password,
            virtual_host=url.virtual_host,
            transport="pyamqp",
            heartbeat=HEARTBEAT,
            connect_timeout=CONNECT_TIMEOUT,
            transport_options={
                "confirm_publish": confirm,
                "read_timeout": CONNECT_TIMEOUT,
                "client_properties": {"connection_name": "kilostack"},
            },
        )
        try:
            # Not `connect`: it sleeps between attempts of its own.
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        except BROKER_ERRORS as reason:
            fault = reason
            continue
        return connection
    names = ", ".join(f"{each.host}:{each.port}" for each in url.brokers)
    raise BusUnavailable(f"The broker at {names} cannot be reached: {fault}", brokers=names)


def discard(connection: kombu.Connection | None) -> None:
    """Drop a connection without waiting for the broker to say goodbye."""
    if connection is not None:
        try:
            connection.collect(socket_timeout=0.5)
        except BROKER_ERRORS as fault:
            log.debug("closing a connection: %s", fault)


def hang_up(connection: kombu.Connection) -> None:
    """End a read that another thread is in; that thread then discards the connection."""
    with contextlib.suppress(AttributeError, OSError):  # it may be gone already
        connection.connection.transport.sock.shutdown(socket.SHUT_RDWR)


def declare_exchange(connection: kombu.Connection, plan: ExchangePlan) -> None:
    """Declare an exchange. One that a peer declared otherwise is taken as it is."""
    if not plan.name:
        return
    channel = connection.channel()
    try:
        channel.exchange_declare(
            plan.name, plan.type, durable=plan.durable, auto_delete=plan.auto_delete
        )
        channel.close()
    except PreconditionFailed as fault:  # the channel is gone with the error
        log.info("exchange %s is used as a peer made it: %s", plan.name, fault)


def declare_queue(connection: kombu.Connection, plan: QueuePlan) -> None:
    """Declare exchange, queue and binding. What a peer declared otherwise is taken as it is."""
    declare_exchange(connection, plan.exchange)
    channel = connection.channel()
    try:
        channel.queue_declare(
            plan.name, durable=plan.durable, auto_delete=False, arguments=dict(plan.arguments)
        )
    except PreconditionFailed as fault:
        # Whoever came first chose the durability; both sides then use the same queue.
        log.info("queue %s is used as a peer made it: %s", plan.name, fault)
        channel = connection.channel()
    if plan.exchange.name:
        channel.queue_bind(plan.name, plan.exchange.name, plan.routing_key)
    channel.close()
