"""What every message store must do for subscriptions and deliveries: one suite for each driver."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import msgspec
import pytest

from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Result, Settlement
from kilo_messaging.domain.message import new_message
from kilo_messaging.domain.subscription import Subscription, SubscriptionState
from kilo_messaging.domain.subscription_options import read_options
from kilo_messaging.domain.topic import ORDERING, TopicKey
from kilo_messaging.errors import SubscriptionExists
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.subscription_base import DeliveryStore, SubscriptionStore

KEY = TopicKey("project", "topic")
OTHER = TopicKey("project", "other")
HOOK = "http://hook.example/one"
LEASE = timedelta(seconds=60)


class SubscriptionStoreContract:
    """A driver is tested by a subclass with a fixture `stores`: an empty store."""

    @pytest.fixture
    def stores(self) -> Iterator[Stores]:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _set_up(self, stores: Stores) -> None:
        self.stores = stores
        self.subscriptions: SubscriptionStore = stores.subscriptions
        self.deliveries: DeliveryStore = stores.deliveries
        self.clock = FakeClock()
        self._ids = count(1)

    # What the tests say

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def subscription(
        self,
        subscriber: str = HOOK,
        *,
        key: TopicKey = KEY,
        ttl: int = 3600,
        state: SubscriptionState = SubscriptionState.ACTIVE,
        **options: Any,
    ) -> Subscription:
        return Subscription(
            id=f"00000000-0000-0000-0000-{next(self._ids):012}",
            key=key,
            subscriber=subscriber,
            ttl=ttl,
            options=read_options(options),
            given=options,
            created_at=self.now,
            state=state,
        )

    def subscribe(self, subscriber: str = HOOK, **about: Any) -> Subscription:
        return self.subscriptions.create(self.subscription(subscriber, **about), self.now)

    def post(
        self,
        *bodies: str,
        key: TopicKey = KEY,
        ttl: int = 3600,
        delay: int = 0,
        group: str | None = None,
        attributes: bytes | None = None,
    ) -> None:
        made = [
            new_message(
                message_id=f"10000000-0000-0000-0000-{next(self._ids):012}",
                body=body.encode(),
                ttl=ttl,
                delay=delay,
                client_id="client",
                now=self.now,
                group=group,
                attributes=attributes,
            )
            for body in bodies
        ]
        self.stores.messages.post(key, lambda _topic: made, self.now)

    def claim(self, limit: int = 100, each: int = 100, busy: Sequence[str] = ()) -> list[Job]:
        return [
            *self.deliveries.claim(self.now, self.now + LEASE, limit=limit, each=each, busy=busy)
        ]

    def claimed_bodies(self, **about: Any) -> list[str]:
        return [text for job in self.claim(**about) for text in bodies(job)]

    def settle(
        self, job: Job, result: Result, *, after: float = 0.0, detail: str = "", status: int = 200
    ) -> None:
        self.deliveries.settle(
            [self.ended(job, each, result, after, detail, status) for each in job.deliveries],
            self.now,
        )

    def ended(
        self,
        job: Job,
        delivery: Delivery,
        result: Result,
        after: float = 0.0,
        detail: str = "",
        status: int = 200,
    ) -> Settlement:
        return Settlement(
            key=job.subscription.key,
            subscription_id=job.subscription.id,
            attempt=Attempt(
                delivery=delivery.position,
                message_id=delivery.notice.message_id,
                number=delivery.attempts + 1,
                at=self.now,
                milliseconds=5,
                result=result,
                status=status,
                detail=detail,
            ),
            due_at=self.now + timedelta(seconds=after) if result is Result.RETRY else None,
        )

    def pending(self, subscription: Subscription, *, failed: bool = False) -> list[str]:
        found = self.deliveries.pending(
            subscription.key, subscription.id, failed=failed, after=0, limit=100, now=self.now
        )
        return [each.notice.body.decode() for each in found]

    def current(self, subscription: Subscription) -> Subscription:
        found = self.subscriptions.get(subscription.key, subscription.id, self.now)
        assert found is not None
        return found

    # Subscriptions

    def test_a_subscription_is_there_with_all_that_was_said(self) -> None:
        made = self.subscribe(_batch=3, post_headers={"X-One": "1"}, foreign={"kept": [1]})
        assert self.current(made) == made

    def test_a_subscription_makes_its_topic(self) -> None:
        self.subscribe()
        assert self.stores.topics.get(KEY) is not None

    def test_pages_follow_the_ids(self) -> None:
        made = [self.subscribe(f"http://hook.example/{number}") for number in range(5)]
        first = self.subscriptions.page(KEY, after="", limit=3, now=self.now)
        rest = self.subscriptions.page(KEY, after=first[-1].id, limit=3, now=self.now)
        assert [*first, *rest] == made

    def test_a_topic_shows_only_its_own(self) -> None:
        made = self.subscribe()
        self.subscribe(key=OTHER)
        assert [*self.subscriptions.page(KEY, after="", limit=9, now=self.now)] == [made]
        assert self.subscriptions.get(OTHER, made.id, self.now) is None

    def test_a_subscriber_has_one_confirmed_subscription(self) -> None:
        made = self.subscribe()
        with pytest.raises(SubscriptionExists) as caught:
            self.subscribe()
        assert caught.value.details["subscription_id"] == made.id
        self.subscribe(key=OTHER)

    def test_an_unconfirmed_one_is_replaced_and_keeps_its_id(self) -> None:
        made = self.subscribe(state=SubscriptionState.UNCONFIRMED)
        again = self.subscribe(state=SubscriptionState.UNCONFIRMED, ttl=7200)
        assert again.id == made.id
        assert self.current(made).ttl == 7200

    def test_an_expired_one_is_not_there_and_leaves_its_place(self) -> None:
        made = self.subscribe(ttl=60)
        self.clock.advance(60)
        assert self.subscriptions.get(KEY, made.id, self.now) is None
        assert not self.subscriptions.page(KEY, after="", limit=9, now=self.now)
        assert self.subscribe().id != made.id

    def test_a_change_is_kept(self) -> None:
        made = self.subscribe()
        changed = self.subscriptions.update(
            KEY, made.id, lambda old: msgspec.structs.replace(old, ttl=99), self.now
        )
        assert changed is not None
        assert changed.ttl == 99
        assert self.current(made) == changed

    def test_a_change_of_what_is_not_there_is_none(self) -> None:
        assert self.subscriptions.update(KEY, "nobody", lambda old: old, self.now) is None

    def test_a_change_may_not_take_another_ones_subscriber(self) -> None:
        self.subscribe("http://hook.example/taken")
        made = self.subscribe()

        def take(old: Subscription) -> Subscription:
            return msgspec.structs.replace(old, subscriber="http://hook.example/taken")

        with pytest.raises(SubscriptionExists):
            self.subscriptions.update(KEY, made.id, take, self.now)
        assert self.current(made) == made

    def test_what_a_change_raises_comes_out_and_nothing_is_changed(self) -> None:
        made = self.subscribe()

        def fail(_old: Subscription) -> Subscription:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            self.subscriptions.update(KEY, made.id, fail, self.now)
        assert self.current(made) == made

    def test_a_deleted_one_is_gone_with_its_deliveries(self) -> None:
        made = self.subscribe()
        self.post("one")
        self.subscriptions.delete(OTHER, made.id)
        assert self.pending(made) == ["one"]
        self.subscriptions.delete(KEY, made.id)
        self.subscriptions.delete(KEY, made.id)
        assert self.subscriptions.get(KEY, made.id, self.now) is None
        assert self.claim() == []

    def test_a_deleted_topic_takes_its_subscriptions_along(self) -> None:
        made = self.subscribe()
        self.post("one")
        self.stores.topics.delete(KEY)
        assert self.subscriptions.get(KEY, made.id, self.now) is None
        assert self.claim() == []
        self.subscribe()

    # What a post records

    def test_a_post_is_recorded_for_each_subscription(self) -> None:
        one, two = self.subscribe(), self.subscribe("mailto:a@example.org")
        self.post("1", "2")
        assert self.pending(one) == self.pending(two) == ["1", "2"]

    def test_what_was_posted_before_is_not(self) -> None:
        self.post("before")
        made = self.subscribe()
        assert self.pending(made) == []

    def test_a_filter_chooses(self) -> None:
        made = self.subscribe(_filter={"attributes": {"kind": ["good"]}})
        self.post("no")
        self.post("yes", attributes=b'{"kind":"good"}')
        assert self.pending(made) == ["yes"]

    @pytest.mark.parametrize(
        ("state", "recorded"),
        [
            (SubscriptionState.UNCONFIRMED, []),
            (SubscriptionState.DISABLED, []),
            (SubscriptionState.PAUSED, ["one"]),
        ],
    )
    def test_only_what_is_to_be_delivered_is_recorded(
        self, state: SubscriptionState, recorded: list[str]
    ) -> None:
        made = self.subscribe(state=state)
        self.post("one")
        assert self.pending(made) == recorded
        assert self.claim() == []

    def test_a_delivery_outlives_the_message_in_its_topic(self) -> None:
        self.subscribe()
        self.post("one")
        self.stores.messages.pop(KEY, 1, self.now)
        assert self.claimed_bodies() == ["one"]

    def test_a_post_that_is_not_made_records_nothing(self) -> None:
        made = self.subscribe()

        def fail(_topic: object) -> Any:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            self.stores.messages.post(KEY, fail, self.now)
        assert self.pending(made) == []

    # Claims of deliveries

    def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(self) -> None:
        self.subscribe()
        self.post("one")
        assert self.claimed_bodies() == ["one"]
        assert self.claim() == []
        self.clock.advance(LEASE.total_seconds())
        assert self.claimed_bodies() == ["one"]

    def test_a_delayed_message_is_due_when_it_is_seen(self) -> None:
        self.subscribe()
        self.post("late", delay=30)
        assert self.claim() == []
        assert self.deliveries.next_due(self.now) == self.now + timedelta(seconds=30)
        self.clock.advance(30)
        assert self.claimed_bodies() == ["late"]

    def test_an_expired_message_is_not_delivered(self) -> None:
        self.subscribe()
        self.post("short", ttl=60)
        self.post("long")
        self.clock.advance(60)
        assert self.claimed_bodies() == ["long"]

    def test_no_subscription_gets_more_than_its_share(self) -> None:
        self.subscribe()
        self.subscribe("http://hook.example/two")
        self.post("1", "2", "3")
        jobs = self.claim(each=2)
        assert sorted(text for job in jobs for text in bodies(job)) == ["1", "1", "2", "2"]
        assert len(self.claim(limit=1)) == 1

    def test_busy_subscriptions_are_left_out(self) -> None:
        one = self.subscribe()
        self.subscribe("http://hook.example/two")
        self.post("1")
        (job,) = self.claim(busy=[one.id])
        assert job.subscription.id != one.id

    def test_a_batch_is_one_job(self) -> None:
        self.subscribe(_batch=2)
        self.post("1", "2", "3")
        assert [bodies(job) for job in self.claim()] == [["1", "2"], ["3"]]

    def test_no_two_workers_get_the_same(self) -> None:
        for number in range(4):
            self.subscribe(f"http://hook.example/{number}")
        self.post(*(str(number) for number in range(20)))
        with ThreadPoolExecutor(4) as pool:
            found = [
                each.position
                for jobs in pool.map(lambda _n: self.claim(limit=40, each=10), range(8))
                for job in jobs
                for each in job.deliveries
            ]
        found += [each.position for job in self.claim() for each in job.deliveries]
        assert sorted(set(found)) == sorted(found)
        assert len(found) == 80

    # How they end

    def test_what_has_arrived_is_gone(self) -> None:
        made = self.subscribe()
        self.post("one")
        (job,) = self.claim()
        self.settle(job, Result.DELIVERED)
        self.clock.advance(1000)
        assert self.pending(made) == []
        assert self.claim() == []

    def test_a_retry_is_due_when_it_says(self) -> None:
        made = self.subscribe()
        self.post("one")
        (job,) = self.claim()
        self.settle(job, Result.RETRY, after=30, detail="refused", status=503)
        assert self.claim() == []
        assert self.deliveries.next_due(self.now) == self.now + timedelta(seconds=30)
        self.clock.advance(30)
        (again,) = self.claim()
        (delivery,) = again.deliveries
        assert (delivery.attempts, delivery.reason) == (1, "refused")
        assert self.current(made).health.failures == 1

    def test_a_failed_one_stays_to_be_seen_and_is_not_due(self) -> None:
        made = self.subscribe()
        self.post("one")
        (job,) = self.claim()
        self.settle(job, Result.FAILED, detail="enough")
        self.clock.advance(600)
        assert self.claim() == []
        assert self.pending(made, failed=True) == ["one"]
        assert self.pending(made) == []

    def test_health_follows_what_happens(self) -> None:
        made = self.subscribe()
        self.post("one")
        (job,) = self.claim()
        self.settle(job, Result.RETRY, detail="down")
        failing = self.current(made).health
        assert (failing.failures, failing.reason, failing.failing_since) == (1, "down", self.now)
        (job,) = self.claim()
        self.settle(job, Result.DELIVERED)
        assert self.current(made).health.failures == 0

    def test_gone_disables_the_subscription(self) -> None:
        made = self.subscribe()
        self.post("one", "two")
        (job, _other) = self.claim()
        self.settle(job, Result.GONE, detail="410 Gone", status=410)
        assert self.current(made).state is SubscriptionState.DISABLED
        assert self.current(made).health.reason == "410 Gone"
        self.clock.advance(LEASE.total_seconds())
        assert self.claim() == []

    def test_what_was_removed_meanwhile_settles_without_error(self) -> None:
        made = self.subscribe()
        self.post("one")
        (job,) = self.claim()
        self.subscriptions.delete(KEY, made.id)
        self.settle(job, Result.RETRY)
        assert self.claim() == []

    def test_failed_ones_are_sent_again(self) -> None:
        made = self.subscribe()
        self.post("1", "2")
        self.clock.advance(10)
        later = self.now
        self.post("3")
        for job in self.claim():
            self.settle(job, Result.FAILED)
        assert self.deliveries.redeliver(KEY, made.id, self.now, since=later) == 1
        assert self.claimed_bodies() == ["3"]
        first = self.deliveries.pending(KEY, made.id, failed=True, after=0, limit=1, now=self.now)[
            0
        ]
        assert self.deliveries.redeliver(KEY, made.id, self.now, positions=[first.position]) == 1
        (job,) = self.claim()
        assert job.deliveries[0].attempts == 0
        assert self.deliveries.redeliver(KEY, made.id, self.now) == 1

    # The log

    def test_the_log_has_every_attempt_newest_first(self) -> None:
        made = self.subscribe()
        self.post("one")
        (job,) = self.claim()
        self.settle(job, Result.RETRY, detail="down", status=500)
        (job,) = self.claim()
        self.settle(job, Result.DELIVERED, detail="ok", status=204)
        log = self.deliveries.attempts(KEY, made.id, before=None, limit=10)
        assert [(each.number, each.result, each.status, each.detail) for each in log] == [
            (2, Result.DELIVERED, 204, "ok"),
            (1, Result.RETRY, 500, "down"),
        ]
        older = self.deliveries.attempts(KEY, made.id, before=log[0].position, limit=10)
        assert [each.number for each in older] == [1]
        assert not self.deliveries.attempts(OTHER, made.id, before=None, limit=10)

    # Order

    def ordered(self, ordering: str) -> None:
        self.stores.topics.create(KEY, {ORDERING: ordering}, self.now)

    def test_a_fifo_topic_delivers_one_after_the_other(self) -> None:
        self.ordered("fifo")
        self.subscribe()
        self.post("1", "2")
        (job,) = self.claim()
        assert bodies(job) == ["1"]
        assert self.claim() == []
        self.settle(job, Result.DELIVERED)
        assert self.claimed_bodies() == ["2"]

    def test_order_holds_through_retries(self) -> None:
        self.ordered("fifo")
        self.subscribe()
        self.post("1", "2")
        (job,) = self.claim()
        self.settle(job, Result.RETRY, after=10)
        assert self.claim() == []
        self.clock.advance(10)
        assert self.claimed_bodies() == ["1"]

    def test_order_holds_through_the_end_of_a_lease(self) -> None:
        self.ordered("fifo")
        self.subscribe()
        self.post("1", "2")
        self.claim()
        self.clock.advance(LEASE.total_seconds())
        assert self.claimed_bodies() == ["1"]

    def test_what_failed_for_good_stands_in_nobodys_way(self) -> None:
        self.ordered("fifo")
        self.subscribe()
        self.post("1", "2")
        (job,) = self.claim()
        self.settle(job, Result.FAILED)
        assert self.claimed_bodies() == ["2"]

    def test_groups_do_not_wait_for_each_other(self) -> None:
        self.ordered("fifo-group")
        self.subscribe()
        self.post("a1", "a2", group="a")
        self.post("b1", group="b")
        jobs = self.claim()
        assert sorted(text for job in jobs for text in bodies(job)) == ["a1", "b1"]
        front = next(job for job in jobs if bodies(job) == ["a1"])
        self.settle(front, Result.RETRY, after=30)
        self.post("c1", group="c")
        assert self.claimed_bodies() == ["c1"]

    def test_a_batch_of_a_lane_stays_in_order(self) -> None:
        self.ordered("fifo")
        self.subscribe(_batch=2)
        self.post("1", "2", "3")
        (job,) = self.claim()
        assert bodies(job) == ["1", "2"]
        self.settle(job, Result.DELIVERED)
        assert self.claimed_bodies() == ["3"]

    def test_an_expired_one_stands_in_nobodys_way(self) -> None:
        self.ordered("fifo")
        self.subscribe()
        self.post("1", ttl=60)
        self.post("2")
        self.claim()
        self.clock.advance(60)
        assert self.claimed_bodies() == ["2"]

    # Deliveries of another store

    @pytest.mark.parametrize("ordering", ["none", "fifo"])
    def test_deliveries_are_put_as_they_are(self, ordering: str) -> None:
        self.ordered(ordering)
        made = self.subscribe()
        self.post("failed")
        (job,) = self.claim()
        self.settle(job, Result.FAILED, detail="enough")
        self.post("1", "2")
        (job, *_more) = self.claim(limit=1)
        self.settle(job, Result.RETRY, after=30, detail="down")
        about = {"after": 0, "limit": 9, "now": self.now}
        before = [
            each
            for failed in (True, False)
            for each in self.deliveries.pending(KEY, made.id, failed=failed, **about)
        ]
        self.deliveries.put(KEY, "nobody", before, self.now)
        self.subscriptions.delete(KEY, made.id)
        self.subscriptions.create(made, self.now)
        self.deliveries.put(KEY, made.id, before, self.now)
        assert self.pending(made, failed=True) == ["failed"]
        assert self.pending(made) == ["1", "2"]
        if ordering == "none":
            assert self.claimed_bodies() == ["2"]
        else:
            assert self.claim() == []
        self.clock.advance(30)
        (again, *_others) = self.claim()
        assert (bodies(again), again.deliveries[0].attempts) == (["1"], 1)
        assert again.deliveries[0].reason == "down"

    # The sweep

    def test_the_sweep_removes_what_is_over_and_nothing_else(self) -> None:
        short, long = self.subscribe(ttl=60), self.subscribe("http://hook.example/long")
        self.post("brief", ttl=60)
        self.post("lasting")
        self.clock.advance(61)
        while self.deliveries.sweep(self.now, 1, self.now - timedelta(days=1)):
            pass
        assert self.subscriptions.get(KEY, short.id, self.now) is None
        assert self.pending(long) == ["lasting"]
        assert self.claimed_bodies() == ["lasting"]

    def test_the_sweep_forgets_old_attempts(self) -> None:
        made = self.subscribe()
        self.post("1", "2")
        one, two = self.claim()
        self.settle(one, Result.DELIVERED)
        self.clock.advance(10)
        self.settle(two, Result.DELIVERED)
        assert self.deliveries.sweep(self.now, 10, self.now) == 1
        (left,) = self.deliveries.attempts(KEY, made.id, before=None, limit=10)
        assert left.delivery == two.deliveries[0].position


def bodies(job: Job) -> list[str]:
    return [each.notice.body.decode() for each in job.deliveries]
