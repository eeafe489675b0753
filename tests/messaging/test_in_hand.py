"""What a dispatcher has in hand: no subscription takes the senders of the others."""

import threading
from datetime import UTC, datetime

from kilo_messaging.delivery.in_hand import AHEAD, InHand
from kilo_messaging.domain.delivery import Job
from kilo_messaging.domain.subscription import Subscription
from kilo_messaging.domain.subscription_options import Options
from kilo_messaging.domain.topic import TopicKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(name: str) -> Job:
    subscription = Subscription(
        id=name,
        key=TopicKey("p", "t"),
        subscriber=f"http://{name}.example/",
        ttl=3600,
        created_at=NOW,
        options=Options(),
        given={},
    )
    return Job(subscription, [])


def names(in_hand: InHand, count: int) -> list[str]:
    taken = [in_hand.take() for _ in range(count)]
    return [each.subscription.id for each in taken if each is not None]


def test_one_that_is_slow_waits_for_itself_only() -> None:
    in_hand = InHand(concurrency=10, each=2)
    slow = [job("slow") for _ in range(5)]
    in_hand.add([*slow, job("quick")])
    assert names(in_hand, 3) == ["slow", "slow", "quick"]
    in_hand.sent(slow[0])
    assert names(in_hand, 1) == ["slow"]


def test_no_more_is_claimed_for_one_that_has_enough() -> None:
    in_hand = InHand(concurrency=4, each=1)
    in_hand.add([job("slow") for _ in range(AHEAD)])
    assert in_hand.room() == (4 * AHEAD - AHEAD, ["slow"])
    in_hand.settled(["slow"] * AHEAD)
    assert in_hand.room() == (4 * AHEAD, [])


def test_at_the_end_nobody_waits_and_nothing_is_begun() -> None:
    in_hand = InHand(concurrency=4, each=1)
    got: list[Job | None] = []
    waiting = threading.Thread(target=lambda: got.append(in_hand.take()))
    waiting.start()
    in_hand.end()
    waiting.join(5)
    in_hand.add([])
    assert got == [None]
    in_hand.begin()
    in_hand.add([job("a"), job("a")])
    in_hand.end()
    assert in_hand.take() is None
    assert in_hand.room() == (4 * AHEAD, [])
