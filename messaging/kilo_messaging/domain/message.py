"""A message and the rules of its life: held back, ready, claimed, and gone at its expiry.

The state that is kept tells what happened last; `state_at` tells what holds at a given time. A
claim that ends and a delay that is over need no write to take effect.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import IntEnum

import msgspec

from kilo_messaging.errors import ClaimInvalid, MessageClaimed

MAX_PRIORITY = 9
_NUMBERS = 4096
"""What the twelve bits behind a time in a UUID (RFC 9562, section 5.7) can hold."""


class State(IntEnum):
    """What a message waits for. READY leads to CLAIMED; CLAIMED and DELAYED lead back to READY."""

    READY = 0
    """Anybody may claim it."""
    CLAIMED = 1
    """One consumer has it until `visible_at`."""
    DELAYED = 2
    """Nobody sees it until `visible_at`."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is kept. `body` is JSON text as the client sent it, never looked into."""

    id: str
    body: bytes
    ttl: int
    client_id: str
    created_at: datetime
    expires_at: datetime
    visible_at: datetime
    state: State = State.READY
    claim_id: str | None = None
    claim_count: int = 0
    group: str | None = None
    """Which messages it is to stay in order with, on a topic that keeps groups in order."""
    attributes: bytes | None = None
    """A JSON object of texts that the poster added; it travels untouched."""
    dedup_id: str | None = None
    """Another message with this id is not added within the window; not kept with the message."""
    priority: int = 0
    """On a topic with priorities, a higher one is handed out first."""
    source: str | None = None
    """The topic that a dead letter came from."""
    sealed: bytes | None = None
    """What the store is to keep in place of the body, where that is encrypted; never read back."""
    position: int = 0
    """Its place in the order of posting; given by the store."""

    @property
    def kept_body(self) -> bytes:
        """What a store keeps of the body."""
        return self.body if self.sealed is None else self.sealed

    def age(self, now: datetime) -> int:
        """Whole seconds since it was posted."""
        return max(0, int((now - self.created_at).total_seconds()))

    def is_expired(self, now: datetime) -> bool:
        """Whether its life is over."""
        return self.expires_at <= now

    def state_at(self, now: datetime) -> State:
        """What it waits for at `now`: a claim or a delay that has ended leaves it ready."""
        return State.READY if self.visible_at <= now else self.state

    def holder_at(self, now: datetime) -> str | None:
        """The claim that has it at `now`."""
        return self.claim_id if self.state_at(now) is State.CLAIMED else None

    def claimed(self, claim_id: str, until: datetime, outlives: datetime) -> "Message":
        """This message in the hands of a claim; it lives until `outlives` at least."""
        longer = self.living_until(outlives)
        return msgspec.structs.replace(
            longer,
            state=State.CLAIMED,
            claim_id=claim_id,
            visible_at=until,
            claim_count=self.claim_count + 1,
        )

    def living_until(self, moment: datetime) -> "Message":
        """This message, or the same with a longer life if it would end before `moment`."""
        if self.expires_at >= moment:
            return self
        seconds = round((moment - self.created_at).total_seconds())
        return msgspec.structs.replace(self, expires_at=moment, ttl=seconds)

    def released(self, now: datetime) -> "Message":
        """This message, ready for anybody."""
        return msgspec.structs.replace(self, state=State.READY, claim_id=None, visible_at=now)

    def dead(self, now: datetime, ttl: int | None, source: str) -> "Message":
        """This message as a dead letter of topic `source`: ready, never claimed.

        It has the life that dead letters have there.
        """
        letter = msgspec.structs.replace(self.released(now), claim_count=0, source=source)
        if ttl is None:
            return letter
        return msgspec.structs.replace(
            letter, ttl=ttl, created_at=now, expires_at=now + timedelta(seconds=ttl)
        )

    def redriven(self, now: datetime) -> "Message":
        """This dead letter as a message that was posted at `now`."""
        return msgspec.structs.replace(
            self.released(now),
            claim_count=0,
            source=None,
            created_at=now,
            expires_at=now + timedelta(seconds=self.ttl),
        )


def new_message(
    *,
    message_id: str,
    body: bytes,
    ttl: int,
    delay: int,
    client_id: str,
    now: datetime,
    group: str | None = None,
    attributes: bytes | None = None,
    dedup_id: str | None = None,
    priority: int = 0,
) -> Message:
    """A message that is posted at `now`."""
    return Message(
        id=message_id,
        body=body,
        ttl=ttl,
        client_id=client_id,
        created_at=now,
        expires_at=now + timedelta(seconds=ttl),
        visible_at=now + timedelta(seconds=delay),
        state=State.DELAYED if delay else State.READY,
        group=group,
        attributes=attributes,
        dedup_id=dedup_id,
        priority=priority,
    )


def ordered_ids(now: datetime, new_id: Callable[[], str], count: int) -> list[str]:
    """UUIDs (version 7) that sort by time and then by their order here.

    They are made of `now`, a number and one random UUID of `new_id`. New ids land side by side in
    an index, which keeps the pages that a commit writes few.
    """
    stamp = f"{int(now.timestamp() * 1000):012x}"
    start = f"{stamp[:8]}-{stamp[8:]}-7"
    ids: list[str] = []
    while len(ids) < count:
        end = new_id()[18:]
        ids += [f"{start}{number:03x}{end}" for number in range(min(count - len(ids), _NUMBERS))]
    return ids


def ordered_id(now: datetime, new_id: Callable[[], str]) -> str:
    """One such UUID."""
    return ordered_ids(now, new_id, 1)[0]


def check_deletable(
    message: Message, claim_id: str | None, *, claim_is_live: bool, now: datetime
) -> None:
    """Return if a client who names `claim_id` (or none) may delete the message.

    Raises:
        ClaimInvalid: the claim has ended or never was, or the message is not claimed at all.
        MessageClaimed: another claim has the message.
    """
    holder = message.holder_at(now)
    if holder == claim_id:
        return
    if claim_id is None:
        raise MessageClaimed(
            "The message is claimed: only who holds the claim can delete it, with its claim_id",
            message_id=message.id,
        )
    if not claim_is_live:
        raise ClaimInvalid("The claim has ended or never existed", claim_id=claim_id)
    if holder is None:
        raise ClaimInvalid("The message is not claimed by this claim", claim_id=claim_id)
    raise MessageClaimed("The message is held by another claim", message_id=message.id)
