"""Claims in memory."""

from datetime import datetime

import msgspec

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.base import ClaimStore
from kilo_messaging.storage.memory.shelf import Memory, Shelf


class MemoryClaims(ClaimStore):
    """Claims in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def create(self, key: TopicKey, claim: Claim, limit: int) -> list[Message]:
        now = claim.created_at

        def work(shelf: Shelf) -> list[Message]:
            held: list[Message] = []
            for message in shelf.in_turn(now):
                if len(held) == limit:
                    break
                if shelf.topic.is_dead(message.claim_count):
                    self._bury(shelf, message, now)
                    continue
                taken = message.claimed(claim.id, claim.expires_at, claim.messages_live_until)
                shelf.messages[taken.id] = taken
                held.append(taken)
            if held:
                shelf.claims[claim.id] = claim
            return held

        return self._memory.on_shelf(key, work, [])

    def get(
        self, key: TopicKey, claim_id: str, now: datetime
    ) -> tuple[Claim, list[Message]] | None:
        def work(shelf: Shelf) -> tuple[Claim, list[Message]] | None:
            claim = shelf.live_claim(claim_id, now)
            return None if claim is None else (claim, shelf.held_by(claim_id, now))

        return self._memory.on_shelf(key, work, None)

    def update(self, key: TopicKey, claim_id: str, ttl: int, grace: int, now: datetime) -> bool:
        def work(shelf: Shelf) -> bool:
            claim = shelf.live_claim(claim_id, now)
            if claim is None:
                return False
            held = shelf.held_by(claim_id, now)
            renewed = shelf.claims[claim_id] = claim.renewed(ttl, grace, now)
            for message in held:
                shelf.messages[message.id] = msgspec.structs.replace(
                    message.living_until(renewed.messages_live_until),
                    visible_at=renewed.expires_at,
                )
            return True

        return self._memory.on_shelf(key, work, False)

    def release(self, key: TopicKey, claim_id: str, now: datetime) -> None:
        def work(shelf: Shelf) -> None:
            for message in shelf.held_by(claim_id, now):
                shelf.messages[message.id] = message.released(now)
            shelf.claims.pop(claim_id, None)

        self._memory.on_shelf(key, work, None)

    def _bury(self, shelf: Shelf, message: Message, now: datetime) -> None:
        place = shelf.topic.dead_letters
        if place is not None:
            del shelf.messages[message.id]
            letter = message.dead(now, shelf.topic.dead_letter_ttl, shelf.topic.key.name)
            self._memory.add(self._memory.shelf(place, now), letter)
