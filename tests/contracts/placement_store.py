"""What every main store must do for pools and placements: one suite for each driver."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.pool import Flavor, Placement, Pool
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.errors import PoolInUse
from kilo_messaging.storage.placement_base import RELEASED, PlacementStore

KEY = TopicKey("project", "topic")
ONE = Pool(name="one", uri="sqlite:///one", weight=1, options={"a": [1]})


class PlacementStoreContract:
    """A driver is tested by a subclass with a fixture `placements`: an empty store."""

    @pytest.fixture
    def placements(self) -> PlacementStore:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _set_up(self, placements: PlacementStore) -> None:
        self.store = placements
        self.now = FakeClock().now()

    def test_pools_come_and_go(self) -> None:
        two = Pool(name="two", uri="redis://h", weight=0, flavor="fast")
        assert self.store.put_pool(two)
        assert self.store.put_pool(ONE)
        assert not self.store.put_pool(ONE)
        assert [*self.store.pools()] == [ONE, two]
        self.store.drop_pool("two", self.now)
        self.store.drop_pool("two", self.now)
        assert [*self.store.pools()] == [ONE]

    def test_flavors_come_and_go(self) -> None:
        fast = Flavor(name="fast", pool_list=("one", "two"))
        assert self.store.put_flavor(fast)
        assert not self.store.put_flavor(fast)
        assert [*self.store.flavors()] == [fast]
        self.store.drop_flavor("fast")
        self.store.drop_flavor("fast")
        assert not self.store.flavors()

    def test_the_version_grows_with_what_others_remember(self) -> None:
        seen = [self.store.version()]
        assert seen == [0]
        self.store.put_pool(ONE)
        seen.append(self.store.version())
        self.store.put_flavor(Flavor(name="fast", pool_list=()))
        seen.append(self.store.version())
        placed = self.store.place(KEY, "one", self.now)
        assert self.store.version() == seen[-1]
        self.store.change(KEY, placed, Placement(pool="two"))
        seen.append(self.store.version())
        self.store.drop_flavor("fast")
        seen.append(self.store.version())
        assert seen == sorted(set(seen))

    def test_the_first_to_place_a_topic_wins(self) -> None:
        assert self.store.find(KEY, self.now) is None
        names = ["one", "two", "three", "four"]
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(lambda name: self.store.place(KEY, name, self.now).pool, names))
        assert len(found) == 1
        assert self.store.find(KEY, self.now) == Placement(pool=found.pop())

    def test_a_change_takes_effect_only_on_what_it_was_made_for(self) -> None:
        placed = self.store.place(KEY, "one", self.now)
        moving = Placement(
            pool="one", moving_to="two", moving_until=self.now + timedelta(seconds=30)
        )
        assert self.store.change(KEY, placed, moving)
        assert not self.store.change(KEY, placed, Placement(pool="three"))
        assert self.store.find(KEY, self.now) == moving
        assert not self.store.change(TopicKey("project", "other"), placed, moving)

    def test_a_released_topic_keeps_its_place_for_a_while(self) -> None:
        self.store.place(KEY, "one", self.now)
        self.store.release(KEY, self.now)
        self.store.release(TopicKey("project", "other"), self.now)
        soon = self.now + RELEASED / 2
        assert self.store.place(KEY, "two", soon) == Placement(pool="one")
        self.store.release(KEY, soon)
        later = soon + RELEASED
        assert self.store.find(KEY, later) is None
        assert self.store.place(KEY, "two", later).pool == "two"

    def test_a_pool_with_topics_stays(self) -> None:
        self.store.put_pool(ONE)
        self.store.place(KEY, "one", self.now)
        with pytest.raises(PoolInUse):
            self.store.drop_pool("one", self.now)
        assert [*self.store.pools()] == [ONE]
        self.store.release(KEY, self.now)
        self.store.drop_pool("one", self.now + RELEASED)
        assert not self.store.pools()

    def test_a_pool_that_a_topic_goes_to_stays(self) -> None:
        placed = self.store.place(KEY, "main", self.now)
        self.store.change(KEY, placed, Placement(pool="main", moving_to="one"))
        with pytest.raises(PoolInUse):
            self.store.drop_pool("one", self.now)
