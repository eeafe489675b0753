"""Pools and placements in Redis: one hash tag for all of them, so that one step sees them all."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from kilo_messaging.domain.pool import Flavor, Placement, Pool
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.placement_base import RELEASED, PlacementStore, in_use
from kilo_messaging.storage.redis.keys import Keys, tag_of
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import micros

_SCAN = 1000
_FORGOTTEN_AT_ONCE = 10


class RedisPlacements(PlacementStore):
    """Pools and placements in Redis."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._pools, self._flavors, self._placements, self._released, self._version = keys.of_pools

    def version(self) -> int:
        return int(self._link.command("GET", self._version) or 0)

    def pools(self) -> Sequence[Pool]:
        found = self._link.command("HVALS", self._pools)
        decoded = [msgspec.json.decode(each, type=Pool) for each in found]
        return sorted(decoded, key=lambda pool: pool.name)

    def put_pool(self, pool: Pool) -> bool:
        return self._put(self._pools, pool.name, msgspec.json.encode(pool))

    def drop_pool(self, name: str, now: datetime) -> None:
        cursor = b"0"
        while True:
            cursor, found = self._link.command("HSCAN", self._placements, cursor, "COUNT", _SCAN)
            texts = found.values() if isinstance(found, dict) else found[1::2]
            for text in texts:
                placement = _read(text)
                if name in (placement.pool, placement.moving_to) and not _is_over(placement, now):
                    raise in_use(name)
            if int(cursor) == 0:
                break
        self._link.commands([("HDEL", self._pools, name), ("INCR", self._version)])

    def flavors(self) -> Sequence[Flavor]:
        found = self._link.command("HVALS", self._flavors)
        decoded = [msgspec.json.decode(each, type=Flavor) for each in found]
        return sorted(decoded, key=lambda flavor: flavor.name)

    def put_flavor(self, flavor: Flavor) -> bool:
        return self._put(self._flavors, flavor.name, msgspec.json.encode(flavor))

    def drop_flavor(self, name: str) -> None:
        self._link.commands([("HDEL", self._flavors, name), ("INCR", self._version)])

    def find(self, key: TopicKey, now: datetime) -> Placement | None:
        text = self._link.command("HGET", self._placements, tag_of(key))
        placement = _read(text) if text else None
        return None if placement is None or _is_over(placement, now) else placement

    def place(self, key: TopicKey, pool: str, now: datetime) -> Placement:
        while True:
            text = self._link.command("HGET", self._placements, tag_of(key))
            placed = _read(text) if text else None
            if placed is None or _is_over(placed, now):
                placed = Placement(pool=pool)
            kept = msgspec.structs.replace(placed, released_at=None)
            if text == _write(kept) or self._swap(key, text or b"", kept, grows=False):
                return kept

    def change(self, key: TopicKey, before: Placement, after: Placement) -> bool:
        return self._swap(key, _write(before), after, grows=True)

    def release(self, key: TopicKey, now: datetime) -> None:
        tag = tag_of(key)
        # First, so that the name is not kept for ever by somebody who dies between.
        self._link.command("ZADD", self._released, micros(now), tag)
        while text := self._link.command("HGET", self._placements, tag):
            gone = msgspec.structs.replace(_read(text), released_at=now)
            if self._swap(key, text, gone, grows=False):
                break
        self._forget(now)

    def _forget(self, now: datetime) -> None:
        """Remove some of the names that were released long enough ago."""
        before = micros(now - RELEASED)
        found = self._link.command(
            "ZRANGEBYSCORE", self._released, "-inf", before, "LIMIT", 0, _FORGOTTEN_AT_ONCE
        )
        for tag in found:
            text = self._link.command("HGET", self._placements, tag)
            if text and _is_over(_read(text), now):
                keys = [self._placements, self._version]
                self._link.run("swap", keys, tag, text, b"", "")
            self._link.command("ZREM", self._released, tag)

    def _put(self, where: str, name: str, document: bytes) -> bool:
        new, _version = self._link.commands(
            [("HSET", where, name, document), ("INCR", self._version)]
        )
        return bool(new)

    def _swap(self, key: TopicKey, before: bytes, after: Placement, *, grows: bool) -> bool:
        keys = [self._placements, self._version]
        grown = "1" if grows else ""
        return bool(self._link.run("swap", keys, tag_of(key), before, _write(after), grown))


def _read(text: bytes) -> Placement:
    return msgspec.json.decode(text, type=Placement)


def _write(placement: Placement) -> bytes:
    return msgspec.json.encode(placement)


def _is_over(placement: Placement, now: datetime) -> bool:
    return placement.released_at is not None and placement.released_at + RELEASED <= now
