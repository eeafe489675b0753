"""Deliveries in Redis: who gets which, how they end, and the log of attempts."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from kilo_messaging.domain.delivery import Attempt, Delivery, Job, Settlement
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.redis.delivery_plans import PAGE, DeliveryPlans
from kilo_messaging.storage.redis.delivery_records import (
    attempt_of,
    delivery_fields,
    delivery_of,
    position_text,
    settlement_fields,
    subscription_from,
)
from kilo_messaging.storage.redis.keys import Keys
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import micros
from kilo_messaging.storage.redis.topics import RedisTopics
from kilo_messaging.storage.subscription_base import DeliveryStore

_NEWEST = ":"
"""Greater than every digit: before which position the log's first page begins."""
_LOOKS = 10
"""Pages of topics that one claim looks at, where those before give nothing."""


class RedisDeliveries(DeliveryStore):
    """Deliveries in Redis."""

    def __init__(
        self, link: RedisLink, keys: Keys, topics: RedisTopics, plans: DeliveryPlans
    ) -> None:
        self._link = link
        self._keys = keys
        self._topics = topics
        self._plans = plans

    def claim(
        self, now: datetime, until: datetime, *, limit: int, each: int, busy: Collection[str] = ()
    ) -> Sequence[Job]:
        jobs: list[Job] = []
        left, after = limit, 0
        for _look in range(_LOOKS):
            keys = self._plans.due(now, after=after)
            for key in keys:
                if left <= 0:
                    return jobs
                found, still_due = self._claim_of(key, now, until, left, each, busy)
                jobs += found
                left -= sum(len(job.deliveries) for job in found)
                after += still_due
            if len(keys) < PAGE:
                break
        return jobs

    def next_due(self, now: datetime) -> datetime | None:
        return self._plans.next_due(now)

    def settle(self, settlements: Sequence[Settlement], now: datetime) -> None:
        by_topic: dict[TopicKey, list[Settlement]] = defaultdict(list)
        for settlement in settlements:
            by_topic[settlement.key].append(settlement)
        for key, group in by_topic.items():
            fields = (part for one in group for part in settlement_fields(one))
            following = self._run("deliveries_settle", key, now, uuid4().hex, *fields)
            self._plans.plan(key, following)

    def attempts(
        self, key: TopicKey, subscription_id: str, *, before: int | None, limit: int
    ) -> Sequence[Attempt]:
        bound = _NEWEST if before is None else position_text(before)
        found = self._link.run(
            "log_page", self._keys.with_deliveries(key), 0, subscription_id, bound, limit
        )
        return [attempt_of(position, line) for position, line in found]

    def pending(
        self,
        key: TopicKey,
        subscription_id: str,
        *,
        failed: bool,
        after: int,
        limit: int,
        now: datetime,
    ) -> Sequence[Delivery]:
        found = self._run(
            "deliveries_page",
            key,
            now,
            subscription_id,
            "1" if failed else "0",
            position_text(after),
            limit,
        )
        return [delivery_of(each) for each in found]

    def redeliver(
        self,
        key: TopicKey,
        subscription_id: str,
        now: datetime,
        *,
        positions: Collection[int] | None = None,
        since: datetime | None = None,
    ) -> int:
        if positions is not None and not positions:
            return 0
        only = [position_text(each) for each in positions or ()]
        posted = 0 if since is None else micros(since)
        total = 0
        after: bytes | str = ""
        while True:
            after, count, following = self._run(
                "deliveries_redeliver", key, now, subscription_id, after, posted, *only
            )
            total += int(count)
            self._plans.plan(key, following)
            if not after:
                return total

    def put(
        self, key: TopicKey, subscription_id: str, deliveries: Sequence[Delivery], now: datetime
    ) -> None:
        found = self._topics.current(key)
        if found is None or not deliveries:
            return
        fields = [part for each in deliveries for part in delivery_fields(each, found[1])]
        following = self._run("deliveries_put", key, now, subscription_id, *fields)
        self._plans.plan(key, following)

    def sweep(self, now: datetime, limit: int, forget_attempts: datetime) -> int:
        removed: int = 0
        for key in self._plans.to_sweep(now):
            if removed >= limit:
                break
            gone, following, stays = self._run(
                "deliveries_sweep",
                key,
                now,
                limit - removed,
                micros(forget_attempts),
                uuid4().hex,
            )
            removed += int(gone)
            self._plans.plan(key, following)
            if removed < limit:
                self._plans.swept(key, now, stays=bool(stays))
        return removed

    def _claim_of(
        self,
        key: TopicKey,
        now: datetime,
        until: datetime,
        limit: int,
        each: int,
        busy: Collection[str],
    ) -> tuple[list[Job], bool]:
        """Jobs of one topic, and whether something of it is still due."""
        self._plans.put_off(key, until)
        following, found = self._run(
            "deliveries_claim", key, now, micros(until), limit, each, *busy
        )
        self._plans.replan(key, until, following)
        jobs: list[Job] = []
        for subscription_id, record, health, shown in found:
            subscription = subscription_from(subscription_id.decode(), record, health)
            taken = [delivery_of(one) for one in shown]
            size = subscription.options.batch
            jobs += [
                Job(subscription, taken[start : start + size])
                for start in range(0, len(taken), size)
            ]
        return jobs, bool(following) and int(following) <= micros(now)

    def _run(self, script: str, key: TopicKey, now: datetime, *arguments: Any) -> Any:
        return self._link.run(script, self._keys.with_deliveries(key), micros(now), *arguments)
