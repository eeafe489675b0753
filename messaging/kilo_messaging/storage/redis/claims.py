"""Claims in Redis."""

from datetime import datetime
from typing import Any

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.base import ClaimStore
from kilo_messaging.storage.redis.keys import Keys
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import claim_of, message_of, micros
from kilo_messaging.storage.redis.transit import Transit


class RedisClaims(ClaimStore):
    """Claims in Redis."""

    def __init__(self, link: RedisLink, keys: Keys, transit: Transit) -> None:
        self._link = link
        self._keys = keys
        self._transit = transit

    def create(self, key: TopicKey, claim: Claim, limit: int) -> list[Message]:
        again = True
        held: list[Any] = []
        while again and not held:
            again, sweep_at, departures, held = self._run(
                "claim",
                key,
                claim.created_at,
                claim.id,
                limit,
                micros(claim.expires_at),
                micros(claim.messages_live_until),
                claim.ttl,
                claim.grace,
            )
            self._transit.try_to_bring(key, departures, claim.created_at)
            self._transit.plan_sweep(key, sweep_at)
        return [message_of(each) for each in held]

    def get(
        self, key: TopicKey, claim_id: str, now: datetime
    ) -> tuple[Claim, list[Message]] | None:
        answer = self._run("claim_get", key, now, claim_id)
        if not answer:
            return None
        record, held = answer
        return claim_of(claim_id, record), [message_of(each) for each in held]

    def update(self, key: TopicKey, claim_id: str, ttl: int, grace: int, now: datetime) -> bool:
        renewed = Claim(id=claim_id, ttl=ttl, grace=grace, created_at=now)
        return bool(
            self._run(
                "claim_update",
                key,
                now,
                claim_id,
                micros(renewed.expires_at),
                micros(renewed.messages_live_until),
                ttl,
                grace,
            )
        )

    def release(self, key: TopicKey, claim_id: str, now: datetime) -> None:
        self._run("claim_release", key, now, claim_id)

    def _run(self, script: str, key: TopicKey, now: datetime, *arguments: Any) -> Any:
        return self._link.run(script, self._keys.of_topic(key), micros(now), *arguments)
