"""What kind of broker an AMQP URL speaks of, and what is promised there.

`qpid://` is for brokers that speak AMQP 0-9-1 and no more, as Qpid Broker-J does: no queue
arguments that begin with `x-`, no publisher confirms, no notice of blocking. A publish is known to
be with the broker when the transaction it was in is committed; the publishes that wait at the same
time share one. Messages returned as unroutable come before the commit's answer, so a mandatory
publish is as good as with confirms. Reply and fanout queues are deleted with their last consumer,
not after half an hour: replies that come while a client reconnects are lost, its calls time out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Profile:
    """What may be asked of a broker."""

    extensions: bool
    """RabbitMQ's: confirms, arguments of queues, notices of blocking and of cancelled consumers."""
    client_properties: Mapping[str, str] = field(default_factory=dict)


RABBIT = Profile(extensions=True)
# By itself Broker-J ends the connection when a mandatory message of a transaction has no queue.
QPID = Profile(extensions=False, client_properties={"qpid.close_when_no_route": "false"})
PROFILES: Mapping[str, Profile] = {"rabbit": RABBIT, "amqp": RABBIT, "qpid": QPID}
