"""kombu's database transport, looking for messages more often than each second."""

from typing import Any

from kombu.transport import sqlalchemy, virtual

from kilo_common.bus.kombu_transport.virtual.store import POLL


class Transport(sqlalchemy.Transport):  # type: ignore[misc]  # kombu is untyped
    """What `sqlalchemy+…://` uses. Its options go to the engine, so the interval is set here."""

    polling_interval = POLL
    known = virtual.BrokerState()
    """What is bound to what; kombu keeps that in memory, and by itself for each connection."""

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.state = self.known
