"""What every matchmaker must do. A driver's tests subclass this; two handles share one book."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kilo_common.bus.target import Address, Kind
from kilo_common.bus.zmq_transport.matchmaking.base import Matchmaker, Record, Role, place_of

ENDPOINT = "tcp://127.0.0.1:16900"


class MatchmakerContract:
    """Run against every driver that has a memory."""

    @pytest.fixture
    def matchmaker(self) -> Iterator[Matchmaker]:
        """One node's handle, started."""
        raise NotImplementedError

    @pytest.fixture
    def other(self) -> Iterator[Matchmaker]:
        """Another node's handle on the same book, started."""
        raise NotImplementedError

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        """Lets so many seconds pass."""
        raise NotImplementedError

    @pytest.fixture
    def place(self) -> str:
        return place_of(Address(Kind.QUEUE, "kilo-contract", f"topic-{uuid.uuid4().hex}"))

    @pytest.fixture
    def node(self) -> str:
        return uuid.uuid4().hex[:16]

    @pytest.fixture
    def record(self, place: str, node: str) -> Record:
        return Record(Role.CONSUMER, place, "group", node, ENDPOINT)

    def test_another_node_finds_what_was_registered(
        self, matchmaker: Matchmaker, other: Matchmaker, record: Record
    ) -> None:
        matchmaker.register(record, 30)
        assert other.lookup(record.place) == (record,)

    def test_an_unknown_place_has_no_records(self, matchmaker: Matchmaker, place: str) -> None:
        assert matchmaker.lookup(place) == ()

    def test_places_differ_by_case_and_by_every_character(
        self, matchmaker: Matchmaker, place: str, node: str
    ) -> None:
        lower = Record(Role.CONSUMER, place + "-é", "g", node, ENDPOINT)
        matchmaker.register(lower, 30)
        assert matchmaker.lookup(place + "-É") == ()
        assert matchmaker.lookup(place + "-e") == ()
        assert matchmaker.lookup(place + "-é") == (lower,)

    def test_all_roles_and_groups_of_a_place_stand_side_by_side(
        self, matchmaker: Matchmaker, other: Matchmaker, place: str, node: str
    ) -> None:
        records = {
            Record(Role.CONSUMER, place, "", node, ENDPOINT),
            Record(Role.CONSUMER, place, "Pool", node, ENDPOINT),
            Record(Role.CONSUMER, place, "pool", node, ENDPOINT),
            Record(Role.PUBLISHER, place, "", node, ENDPOINT),
            Record(Role.GROUP, place, "pool", "", ""),
            Record(Role.CONSUMER, place, "pool", uuid.uuid4().hex[:16], ENDPOINT),
        }
        for number, record in enumerate(records):
            (other if number % 2 else matchmaker).register(record, 30)
        assert set(matchmaker.lookup(place)) == records

    def test_registering_again_gives_a_new_lease_and_no_second_record(
        self, matchmaker: Matchmaker, record: Record, let_pass: Callable[[float], None]
    ) -> None:
        matchmaker.register(record, 0.2)
        matchmaker.register(record, 30)
        let_pass(0.4)
        assert matchmaker.lookup(record.place) == (record,)

    def test_a_lease_ends(
        self, matchmaker: Matchmaker, record: Record, let_pass: Callable[[float], None]
    ) -> None:
        matchmaker.register(record, 0.2)
        let_pass(0.4)
        assert matchmaker.lookup(record.place) == ()

    def test_renewing_keeps_all_records_of_the_node_and_no_others(
        self,
        matchmaker: Matchmaker,
        place: str,
        node: str,
        let_pass: Callable[[float], None],
    ) -> None:
        here = Record(Role.CONSUMER, place, "", node, ENDPOINT)
        there = Record(Role.CONSUMER, place + "-2", "", node, ENDPOINT)
        foreign = Record(Role.CONSUMER, place, "", node + "x", ENDPOINT)
        for record in (here, there, foreign):
            matchmaker.register(record, 0.6)
        assert matchmaker.renew(node, 30)
        let_pass(1.0)
        assert matchmaker.lookup(place) == (here,)
        assert matchmaker.lookup(place + "-2") == (there,)

    def test_renewing_too_late_says_so_and_revives_nothing(
        self, matchmaker: Matchmaker, record: Record, let_pass: Callable[[float], None]
    ) -> None:
        matchmaker.register(record, 0.2)
        let_pass(0.4)
        assert not matchmaker.renew(record.node, 30)
        assert matchmaker.lookup(record.place) == ()
        matchmaker.register(record, 30)
        assert matchmaker.lookup(record.place) == (record,)

    def test_a_node_without_records_has_nothing_to_renew(
        self, matchmaker: Matchmaker, node: str
    ) -> None:
        assert not matchmaker.renew(node, 30)

    def test_a_removed_record_is_gone_and_stays_gone(
        self, matchmaker: Matchmaker, other: Matchmaker, record: Record
    ) -> None:
        matchmaker.register(record, 30)
        matchmaker.remove(record)
        matchmaker.remove(record)
        assert other.lookup(record.place) == ()
        assert not matchmaker.renew(record.node, 30)

    def test_many_nodes_may_register_the_same_group_at_once(
        self, matchmaker: Matchmaker, other: Matchmaker, place: str
    ) -> None:
        group = Record(Role.GROUP, place, "pool", "", "")
        with ThreadPoolExecutor(4) as pool:
            handles = [matchmaker, other] * 4
            list(pool.map(lambda handle: handle.register(group, 30), handles))
        assert matchmaker.lookup(place) == (group,)

    def test_closing_twice_is_harmless(self, matchmaker: Matchmaker) -> None:
        matchmaker.close()
        matchmaker.close()
