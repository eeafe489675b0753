"""Which queues an address becomes, on brokers of different minds."""

import pytest

from kilo_common.bus.target import Address, Kind, Target
from kilo_common.bus.topology import Topology

TARGET = Target("topic", exchange="exchange")
REPLY = Address(Kind.REPLY, "", "reply_1")


def test_work_lasts_and_answers_do_not() -> None:
    topology = Topology(durable=True)
    work = topology.queue(TARGET.topic_address, "", "")
    assert (work.name, work.routing_key, work.durable) == ("topic", "topic", True)
    assert work.exchange.name == "exchange"
    reply = topology.queue(REPLY, "", "")
    assert (reply.name, reply.durable) == ("reply_1", False)
    assert reply.arguments == {"x-expires": 1_800_000}
    fanout = topology.queue(TARGET.fanout_address, "", "u")
    assert (fanout.name, fanout.durable) == ("topic_fanout_u", False)


@pytest.mark.parametrize("extensions", [True, False])
@pytest.mark.parametrize(
    "address",
    [TARGET.topic_address, TARGET.fanout_address, REPLY],
    ids=["topic", "fanout", "reply"],
)
def test_every_queue_is_durable_where_the_broker_takes_no_other(
    address: Address, extensions: bool
) -> None:
    for durable, temporary in ((False, False), (True, False), (True, True)):
        topology = Topology(durable=durable, temporary=temporary, extensions=extensions)
        assert topology.queue(address, "", "u", durable_only=True).durable


def test_answers_are_kept_by_all_nodes_only_where_they_must_last_and_work_is_too() -> None:
    topology = Topology(durable=True, quorum=True)
    assert "x-queue-type" not in topology.queue(REPLY, "", "").arguments
    assert topology.queue(REPLY, "", "", durable_only=True).arguments["x-queue-type"] == "quorum"


def test_nothing_is_asked_for_that_only_one_broker_knows() -> None:
    topology = Topology(durable=True, temporary=True, extensions=False)
    for address in (TARGET.topic_address, TARGET.fanout_address, REPLY):
        assert not topology.queue(address, "", "u").arguments
