"""Whether the service works, and how fast each kind of operation is."""

import time
from collections.abc import Callable
from typing import Any

from kilo_common.context import RequestContext, system_context
from kilo_common.errors import KiloError
from kilo_messaging.domain.topic import check_name
from kilo_messaging.service.claims import ClaimOperations
from kilo_messaging.service.desk import Desk
from kilo_messaging.service.messages import Draft, MessageOperations
from kilo_messaging.service.pools import Placing
from kilo_messaging.service.topics import TopicOperations

PROBE_PROJECT = "kilostack.health"
"""The project of the probe's topics; it is nobody's, and they are removed again."""


class HealthOperations:
    """What an operator may ask."""

    def __init__(
        self,
        desk: Desk,
        topics: TopicOperations,
        messages: MessageOperations,
        claims: ClaimOperations,
        placing: Placing,
    ) -> None:
        self._desk = desk
        self._topics = topics
        self._messages = messages
        self._claims = claims
        self._placing = placing

    def ping(self, context: RequestContext) -> None:
        """Return if the store answers.

        Raises:
            Unavailable: it does not.
        """
        self._desk.permit(context, "ping:get")
        self._desk.stores.check()

    def health(self, context: RequestContext) -> dict[str, Any]:
        """Do each kind of operation once on a topic of our own and say how it went.

        Beside that, whether the main store answers, which knows where topics lie, and each pool.
        """
        self._desk.permit(context, "health:get")
        try:
            self._desk.stores.check()
            pools = self._placing.reachable()
            reachable = True
        except KiloError:
            pools = {}
            reachable = False
        volume: dict[str, int] = {"free": 0, "claimed": 0, "total": 0}
        status: dict[str, Any] = {}
        name = check_name(f"health.{self._desk.new_id()}")
        for operation, probe in self._probes(name, volume).items():
            status[operation] = _timed(probe, context.request_id)
        return {
            "storage_reachable": reachable,
            "catalog_reachable": reachable,
            "pools": {name: {"storage_reachable": answers} for name, answers in pools.items()},
            "operation_status": status,
            "message_volume": volume,
        }

    def _probes(self, name: str, volume: dict[str, int]) -> dict[str, Callable[[], Any]]:
        who = system_context(PROBE_PROJECT)
        client = self._desk.new_id()

        def count() -> None:
            stats = self._topics.stats(who, name)
            volume.update(free=stats.free, claimed=stats.claimed, total=stats.total)

        return {
            "create_queue": lambda: self._topics.create(who, name, {}),
            "post_messages": lambda: self._messages.post(
                who, name, [Draft(b'"probe"')], client_id=client, size=0
            ),
            "list_messages": lambda: self._messages.page(who, name, client_id=client, echo=True),
            "claim_messages": lambda: self._claims.create(who, name),
            "queue_stats": count,
            "delete_queue": lambda: self._topics.delete(who, name),
        }


def _timed(probe: Callable[[], Any], reference: str) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        probe()
        succeeded = True
    except KiloError:
        succeeded = False
    return {
        "succeeded": succeeded,
        "seconds": round(time.perf_counter() - began, 6),
        "ref": None if succeeded else reference,
    }
