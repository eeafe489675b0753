"""Messages in Redis."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, check_deletable
from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.storage.base import WINDOW, Found, MessageStore, Page, Posted, Prepare, Stats
from kilo_messaging.storage.redis.delivery_plans import DeliveryPlans
from kilo_messaging.storage.redis.delivery_records import wanted_by
from kilo_messaging.storage.redis.keys import Keys, tag_of
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import (
    body_of,
    claim_fields,
    message_of,
    micros,
    packed,
    record_of,
)
from kilo_messaging.storage.redis.subscriptions import Subscribed
from kilo_messaging.storage.redis.sweep import Sweep
from kilo_messaging.storage.redis.topics import RedisTopics
from kilo_messaging.storage.redis.transit import Transit


class RedisMessages(MessageStore):
    """Messages in Redis."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        topics: RedisTopics,
        transit: Transit,
        subscribed: Subscribed,
        plans: DeliveryPlans,
    ) -> None:
        self._link = link
        self._keys = keys
        self._topics = topics
        self._transit = transit
        self._subscribed = subscribed
        self._plans = plans
        self._sweep = Sweep(link, keys, transit)

    def post(
        self,
        key: TopicKey,
        prepare: Prepare,
        now: datetime,
        *,
        once: str | None = None,
        window: timedelta = WINDOW,
    ) -> Posted | None:
        if once is not None:
            # Before the post, so that the sweep knows of the key whatever happens then.
            self._link.command("ZADD", self._keys.once, "NX", micros(now), tag_of(key))
        found = self._topics.current(key)
        while True:
            if found is None:
                prepare(Topic(key=key, metadata={}, created_at=now))  # a refusal leaves nothing
                found = self._topics.ensure(key, now)
            version, topic = found
            messages = list(prepare(topic))
            wanted = self._wanted(key, version, topic, messages, now)
            answer = self._link.run(
                "post",
                self._keys.with_deliveries(key) if wanted else self._keys.of_topic(key),
                micros(now),
                version,
                once or "",
                micros(now + window),
                packed([[*record_of(each, topic), each.dedup_id or ""] for each in messages]),
                *(body_of(each) for each in messages),
                *wanted,
            )
            if answer[0] != b"stale":
                return self._posted(key, messages, answer)
            found = self._topics.note(key, answer[1:])

    def put(
        self, key: TopicKey, messages: Sequence[Message], claims: Sequence[Claim], now: datetime
    ) -> None:
        found = self._topics.ensure(key, now)
        while True:
            version, topic = found
            answer = self._run(
                "put",
                key,
                now,
                version,
                packed([record_of(each, topic) for each in messages]),
                packed([claim_fields(each) for each in claims]),
                *(body_of(each) for each in messages),
            )
            if answer[0] == b"put":
                self._transit.plan_sweep(key, answer[1])
                return
            found = self._topics.note(key, answer[1:]) or self._topics.ensure(key, now)

    def page(self, key: TopicKey, page: Page, now: datetime) -> list[Message]:
        found: list[Message] = []
        after = page.after
        while len(found) < page.limit:
            answer = self._run(
                "page",
                key,
                now,
                after,
                page.limit - len(found),
                int(page.claimed),
                int(page.delayed),
                page.not_from or "",
            )
            if answer[0] == b"again":
                continue
            found += [message_of(each) for each in answer[2]]
            if not answer[1]:
                break
            after = int(answer[1])
        return found

    def follow(self, key: TopicKey, after: int | None, limit: int, now: datetime) -> Found:
        while True:
            topic = self._topics.get(key)
            if topic is None:
                return Found(None, after or 0, [])
            found: list[Message] = []
            if after is not None:
                everything = Page(limit=limit, after=after, claimed=True, delayed=True)
                found = self.page(key, everything, now)
                end = found[-1].position if found else after
            else:
                end = self._last_position(key)
            still = self._topics.get(key)
            if still is not None and still.created_at == topic.created_at:
                return Found(topic.created_at, end, found)

    def get(self, key: TopicKey, ids: Sequence[str], now: datetime) -> list[Message]:
        found = [message_of(each) for each in self._run("get", key, now, *set(ids))]
        return sorted(found, key=lambda message: message.position)

    def delete(self, key: TopicKey, message_id: str, claim_id: str | None, now: datetime) -> None:
        answer = self._run("delete", key, now, message_id, claim_id or "")
        if answer[0] == b"refused":
            live = bool(answer[1])
            check_deletable(message_of(answer[2]), claim_id, claim_is_live=live, now=now)

    def delete_many(self, key: TopicKey, ids: Sequence[str], now: datetime) -> None:
        self._run("delete_many", key, now, *ids)

    def pop(self, key: TopicKey, limit: int, now: datetime) -> list[Message]:
        again = True
        found: list[Any] = []
        while again and not found:
            again, found = self._run("pop", key, now, limit)
        return [message_of(each) for each in found]

    def purge(self, key: TopicKey, now: datetime) -> None:
        last = self._last_position(key)
        while self._run("purge", key, now, last):
            pass

    def redrive(self, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
        last = self._last_position(key)
        moved: Counter[TopicKey] = Counter()
        after: bytes | int = 0
        while True:
            after, departures = self._run("redrive", key, now, after, last)
            moved += self._transit.bring(key, departures, now)
            if not after:
                return dict(moved)

    def stats(self, key: TopicKey, now: datetime) -> Stats:
        while (answer := self._run("stats", key, now))[0] == b"again":
            pass
        _stats, total, claimed, oldest, newest = answer
        if not total:
            return Stats()
        return Stats(
            free=total - claimed,
            claimed=claimed,
            oldest=message_of(oldest),
            newest=message_of(newest),
        )

    def sweep(self, now: datetime, limit: int, forget_keys: datetime) -> int:
        return self._sweep(now, limit, forget_keys)

    def _run(self, script: str, key: TopicKey, now: datetime, *arguments: Any) -> Any:
        return self._link.run(script, self._keys.of_topic(key), micros(now), *arguments)

    def _last_position(self, key: TopicKey) -> int:
        topic = self._keys.of_topic(key)[0]
        return int(self._link.command("HGET", topic, "sequence") or 0)

    def _posted(
        self, key: TopicKey, messages: Sequence[Message], answer: Sequence[Any]
    ) -> Posted | None:
        if answer[0] == b"known":
            return None
        _posted, sweep_at, kept, due = answer
        self._transit.plan_sweep(key, sweep_at)
        self._plans.plan(key, due)
        return Posted(
            [found.decode() for found, _position in kept],
            [message for message, (_id, position) in zip(messages, kept, strict=True) if position],
            recorded=bool(due),
        )

    def _wanted(
        self,
        key: TopicKey,
        version: bytes,
        topic: Topic,
        messages: Sequence[Message],
        now: datetime,
    ) -> list[bytes]:
        """For each message who wants it, as the script takes it; nothing where nobody does."""
        subscriptions = self._subscribed.to(key, version)
        if not subscriptions:
            return []
        wanted = [wanted_by(each, topic, subscriptions, now) for each in messages]
        return [packed(wanted)] if any(wanted) else []
