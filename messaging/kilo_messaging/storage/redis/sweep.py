"""Removing what nobody can see any more, topic by topic, each when something of it is due."""

from datetime import datetime, timedelta

from kilo_messaging.storage.redis.keys import Keys, topic_of_tag
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import micros
from kilo_messaging.storage.redis.topics import IDLE
from kilo_messaging.storage.redis.transit import Transit

TOPICS = 100
"""Topics that are looked at in one sweep at most."""
JOURNEYS = timedelta(hours=1)
"""So long a topic remembers what has arrived at least: far longer than anybody brings it."""


class Sweep:
    """Sweeps all topics of a store."""

    def __init__(self, link: RedisLink, keys: Keys, transit: Transit) -> None:
        self._link = link
        self._keys = keys
        self._transit = transit

    def __call__(self, now: datetime, limit: int, forget_keys: datetime) -> int:
        """Remove up to `limit` things; how many there were."""
        removed = 0
        for tag in self._due(now, forget_keys):
            if removed >= limit:
                break
            removed += self._sweep_topic(tag, now, limit - removed, forget_keys)
        return removed

    def _due(self, now: datetime, forget_keys: datetime) -> list[str]:
        by_time, by_key = self._link.commands(
            [
                ("ZRANGEBYSCORE", self._keys.sweeps, "-inf", micros(now), "LIMIT", 0, TOPICS),
                (
                    "ZRANGEBYSCORE",
                    self._keys.once,
                    "-inf",
                    f"({micros(forget_keys)}",
                    "LIMIT",
                    0,
                    TOPICS,
                ),
            ]
        )
        return [tag.decode() for tag in dict.fromkeys([*by_time, *by_key])]

    def _sweep_topic(self, tag: str, now: datetime, limit: int, forget_keys: datetime) -> int:
        key = topic_of_tag(tag)
        sweeps, once = self._keys.sweeps, self._keys.once
        # Put off first: what a post plans meanwhile comes after this, and counts.
        self._link.run("plan", [sweeps], "XX", micros(now + IDLE), tag)
        removed, soonest, departures, oldest_key, stays, old = self._link.run(
            "sweep",
            self._keys.of_topic(key),
            micros(now),
            limit,
            micros(forget_keys),
            micros(now - JOURNEYS),
        )
        self._transit.try_to_bring(key, departures, now)
        self._transit.forget(key, old)
        self._link.run("plan", [once], "XX", oldest_key or micros(now), tag)
        self._transit.plan_sweep(key, soonest)
        if not stays:
            self._link.commands([("ZREM", sweeps, tag), ("ZREM", once, tag)])
        return int(removed)
