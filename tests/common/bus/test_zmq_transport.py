"""The brokerless driver against the contract, and what is its own, inside one process."""

import time
from collections.abc import Callable, Iterator

import pytest

from contracts.transport import TransportContract
from kilo_common.bus.connect import open_transport
from kilo_common.bus.transport import Transport


class TestZmqTransport(TransportContract):
    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        return time.sleep

    @pytest.fixture
    def transport(self) -> Iterator[Transport]:
        transport = open_transport("zmq://127.0.0.1")
        transport.start()
        yield transport
        transport.stop(10)
