"""The bell: a request's process tells all workers that there is something new to look at.

It saves time and nothing rests on it: workers look by themselves every few seconds.
"""

import logging

from kilo_catalog.tasks.worker import TaskWorker
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.context import RequestContext, system_context
from kilo_common.errors import KiloError
from kilo_common.ids import IdSource

log = logging.getLogger(__name__)
TOPIC = "catalog-tasks"
PATIENCE = 2.0
"""Seconds that a request waits for the bus; longer would only make its client wait."""


class Bell:
    """Rings at every worker."""

    def __init__(self, transport: Transport, exchange: str, new_id: IdSource) -> None:
        target = Target(TOPIC, exchange, fanout=True)
        self._client = RpcClient(transport, target, new_id=new_id, timeout=PATIENCE)

    def ring(self) -> None:
        """Have all workers look. Never raises."""
        try:
            self._client.cast(system_context(), "look")
        except KiloError as fault:
            log.warning("workers could not be told and will look by themselves: %s", fault)


class BellEndpoint(Endpoint):
    """What a worker does when it rings."""

    def __init__(self, worker: TaskWorker) -> None:
        self._worker = worker

    @rpc
    def look(self, _context: RequestContext) -> None:
        """There is a task to take up, or one not wanted any more."""
        self._worker.wake()


def listen(
    transport: Transport, exchange: str, host: str, worker: TaskWorker, new_id: IdSource
) -> RpcServer:
    """The server by which a worker hears the bell."""
    target = Target(TOPIC, exchange, server=host)
    return RpcServer(transport, target, [BellEndpoint(worker)], new_id=new_id, workers=1)
