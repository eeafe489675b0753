"""RPC with the real oslo.messaging over a real RabbitMQ, each side as the client of the other."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from kilo_common.bus.connect import open_transport
from kilo_common.bus.dispatcher import Endpoint, rpc
from kilo_common.bus.envelope import Request, wrap
from kilo_common.bus.errors import CallTimeout, NoSuchMethod, RemoteError, UnsupportedVersion
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.rpc_server import RpcServer
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Delivery, Transport
from kilo_common.context import RequestContext
from kilo_common.ids import random_id

pytestmark = pytest.mark.services
CONTEXT = RequestContext(project_id="p1", user_id="u1")


class Plain(Endpoint):
    version = "1.2"

    def __init__(self) -> None:
        self.noted: SimpleQueue[str] = SimpleQueue()

    @rpc
    def add(self, context: RequestContext, a: int, b: int = 1) -> int:
        return a + b

    @rpc
    def who(self, context: RequestContext) -> str | None:
        return context.project_id

    @rpc
    def fail(self, context: RequestContext, text: str) -> None:
        raise ValueError(text)

    @rpc(once=True)
    def note(self, context: RequestContext, text: str) -> None:
        self.noted.put(text)


class Doubling(Endpoint):
    namespace = "math"
    version = "2.3"

    @rpc
    def double(self, context: RequestContext, x: int) -> int:
        return 2 * x


@pytest.fixture
def target(corner) -> Target:
    return Target(corner.topic, exchange=corner.exchange)


def client(transport: Transport, target: Target, timeout: float = 10) -> RpcClient:
    return RpcClient(transport, target, new_id=random_id, timeout=timeout)


@pytest.fixture
def ours(transport: Transport, target: Target) -> Iterator[Callable[[], Plain]]:
    """Starts our server and returns its endpoint."""
    servers: list[RpcServer] = []

    def start() -> Plain:
        endpoint = Plain()
        named = target.with_(server="ours")
        servers.append(RpcServer(transport, named, [endpoint, Doubling()], new_id=random_id))
        servers[-1].start()
        return endpoint

    yield start
    for server in servers:
        server.stop(5)


class TestOurClient:
    def test_calls_a_method_of_the_peer(self, peer, transport: Transport, target: Target) -> None:
        peer("server")
        assert client(transport, target).call(CONTEXT, "add", a=2, b=3) == 5

    def test_its_context_arrives(self, peer, transport: Transport, target: Target) -> None:
        peer("server")
        assert client(transport, target).call(CONTEXT, "who")["project_id"] == "p1"

    def test_casts_to_the_topic_to_one_server_and_to_all(
        self, peer, transport: Transport, target: Target
    ) -> None:
        server = peer("server")
        client(transport, target).cast(CONTEXT, "note", text="topic")
        assert server.next() == {"noted": "topic"}
        client(transport, target.with_(server="peer-host")).cast(CONTEXT, "note", text="one")
        assert server.next() == {"noted": "one"}
        client(transport, target).fanout(CONTEXT, "note", text="all")
        assert server.next() == {"noted": "all"}

    def test_calls_a_namespaced_and_versioned_method(
        self, peer, transport: Transport, target: Target
    ) -> None:
        peer("server")
        math = target.with_(namespace="math", version="2.1")
        assert client(transport, math).call(CONTEXT, "double", x=4) == 8
        with pytest.raises(UnsupportedVersion):
            client(transport, math.with_(version="2.4")).call(CONTEXT, "double", x=4)

    def test_gets_the_peers_errors_as_data(
        self, peer, transport: Transport, target: Target
    ) -> None:
        peer("server")
        with pytest.raises(RemoteError, match="because") as caught:
            client(transport, target).call(CONTEXT, "fail", text="because")
        assert caught.value.remote_code == "builtins.ValueError"
        with pytest.raises(NoSuchMethod):
            client(transport, target).call(CONTEXT, "missing")
        with pytest.raises(NoSuchMethod):
            client(transport, target).call(CONTEXT, "_hidden")

    def test_a_duplicate_is_executed_once_by_the_peer(
        self, peer, transport: Transport, target: Target
    ) -> None:
        server = peer("server")
        for unique, text in (("u1", "once"), ("u1", "once"), ("u2", "after")):
            request = Request("note", {"text": text}, {}, unique_id=unique)
            transport.publish(target.topic_address, wrap(request.to_message()))
        assert [server.next(), server.next()] == [{"noted": "once"}, {"noted": "after"}]

    def test_a_call_that_expired_is_not_executed_by_the_peer(
        self, peer, transport: Transport, target: Target
    ) -> None:
        peer("server").stop()
        with pytest.raises(CallTimeout):
            client(transport, target, timeout=0.3).call(CONTEXT, "note", text="stale")
        server = peer("server")
        client(transport, target).cast(CONTEXT, "note", text="fresh")
        assert server.next() == {"noted": "fresh"}

    def test_uses_what_a_peer_of_another_durability_made(
        self, peer, target: Target, broker: str
    ) -> None:
        peer("server")
        for options in ("durable=true", "quorum=true", "durable=false"):
            transport = open_transport(f"rabbit://{broker}?{options}")
            assert client(transport, target).call(CONTEXT, "add", a=2, b=3) == 5
            transport.stop(5)


class TestThePeersClient:
    def test_calls_our_method(self, peer, ours) -> None:
        ours()
        caller = peer("client")
        assert caller.ask(do="call", method="add", args={"a": 2, "b": 3}) == {"result": 5}
        answer = caller.ask(do="call", method="who", context={"project_id": "p2"})
        assert answer == {"result": "p2"}

    def test_casts_to_the_topic_to_one_server_and_to_all(self, peer, ours) -> None:
        endpoint = ours()
        caller = peer("client")
        for way in ({}, {"server": "ours"}, {"fanout": True}):
            caller.ask(do="cast", method="note", args={"text": str(way)}, **way)
            assert endpoint.noted.get(timeout=10) == str(way)

    def test_calls_a_namespaced_and_versioned_method(self, peer, ours) -> None:
        ours()
        caller = peer("client")
        math = {"do": "call", "method": "double", "args": {"x": 4}, "namespace": "math"}
        assert caller.ask(**math, version="2.1") == {"result": 8}
        assert caller.ask(**math, version="2.4")["remote"] == "UnsupportedVersion"

    def test_gets_our_errors(self, peer, ours) -> None:
        ours()
        caller = peer("client")
        failed = caller.ask(do="call", method="fail", args={"text": "because"})
        assert failed["error"].removesuffix("_Remote") == "ValueError"
        assert "because" in failed["text"]
        assert caller.ask(do="call", method="missing")["remote"] == "NoSuchMethod"

    def test_a_call_that_expired_is_not_executed(self, peer, ours, transport, target) -> None:
        address = target.topic_address
        transport.consume(address, lambda delivery: delivery.requeue()).cancel()  # makes the queue
        caller = peer("client")
        stale = caller.ask(do="call", method="note", args={"text": "stale"}, timeout=1)
        assert stale["error"] == "MessagingTimeout"
        endpoint = ours()
        caller.ask(do="cast", method="note", args={"text": "fresh"})
        assert endpoint.noted.get(timeout=10) == "fresh"

    def test_a_duplicate_of_its_cast_is_executed_once(
        self, peer, ours, transport: Transport, target: Target
    ) -> None:
        address = target.topic_address
        seen: SimpleQueue[Delivery] = SimpleQueue()
        spy = transport.consume(address, seen.put)
        peer("client").ask(do="cast", method="note", args={"text": "once"})
        caught = seen.get(timeout=10)
        caught.ack()
        spy.cancel()
        for _ in range(2):
            transport.publish(address, caught.body)
        endpoint = ours()
        client(transport, target).cast(CONTEXT, "note", text="after")
        assert [endpoint.noted.get(timeout=10), endpoint.noted.get(timeout=10)] == ["once", "after"]

    def test_shares_its_topic_with_a_server_of_the_peer(self, peer, ours, target) -> None:
        peer("server")
        ours()
        caller = peer("client")
        for number in range(6):
            result = caller.ask(do="call", method="add", args={"a": number, "b": 1})
            assert result == {"result": number + 1}
