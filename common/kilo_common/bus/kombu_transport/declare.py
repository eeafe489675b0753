"""Declaring on a broker what a plan says."""

import logging

from amqp.exceptions import PreconditionFailed

from kilo_common.bus.kombu_transport.link import Link
from kilo_common.bus.topology import ExchangePlan, QueuePlan

log = logging.getLogger(__name__)


def declare_exchange(link: Link, plan: ExchangePlan, deadline: float) -> None:
    """Declare an exchange. One that a peer declared otherwise is taken as it is.

    Raises:
        one of BROKER_ERRORS.
    """
    if not plan.name:
        return
    channel = link.channel(deadline)
    try:
        channel.exchange_declare(
            plan.name, plan.type, durable=plan.durable, auto_delete=plan.auto_delete
        )
    except PreconditionFailed as fault:  # the channel is gone with the error
        log.info("exchange %s is used as a peer made it: %s", plan.name, fault)
    finally:
        channel.abandon()


def declare_queue(link: Link, plan: QueuePlan, deadline: float) -> None:
    """Declare exchange, queue and binding. What a peer declared otherwise is taken as it is.

    Raises:
        one of BROKER_ERRORS.
    """
    declare_exchange(link, plan.exchange, deadline)
    channel = link.channel(deadline)
    try:
        channel.queue_declare(
            plan.name,
            durable=plan.durable,
            auto_delete=plan.auto_delete,
            arguments=dict(plan.arguments),
        )
    except PreconditionFailed as fault:
        # Whoever came first chose the durability; both sides then use the same queue.
        log.info("queue %s is used as a peer made it: %s", plan.name, fault)
        channel = link.channel(deadline)
    try:
        if plan.exchange.name:
            channel.queue_bind(plan.name, plan.exchange.name, plan.routing_key)
    finally:
        channel.abandon()
