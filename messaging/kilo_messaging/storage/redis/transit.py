"""Messages on their way from one topic to another, which may be on another node of a cluster.

A script takes a message out of its topic and puts it in the topic's `leaving`, in one step. From
there it is added to the other topic, which remembers the journey's name, and only then it is
removed from `leaving`. Whoever is interrupted leaves the rest to the sweep, and nothing arrives
twice.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.storage.redis.keys import PARTS, Keys, tag_of, topic_of_tag
from kilo_messaging.storage.redis.link import RedisLink, StoreUnavailable
from kilo_messaging.storage.redis.records import (
    body_of,
    message_from,
    micros,
    moment_of,
    packed,
    record_of,
)
from kilo_messaging.storage.redis.topics import RedisTopics

log = logging.getLogger(__name__)
LEAVING, ARRIVED = PARTS.index("leaving"), PARTS.index("arrived")
_AT = "@"
_HEAD = 8
"""An entry begins with the length of its record, in so many digits."""


@dataclass(frozen=True)
class Journey:
    """One message on its way."""

    name: str
    """Never used for another journey."""
    position: bytes
    """Where it was in the topic that it leaves."""
    target: TopicKey
    message: Message
    """As it is to be in the other topic."""


class Transit:
    """Brings messages to where they are going."""

    def __init__(self, link: RedisLink, keys: Keys, topics: RedisTopics) -> None:
        self._link = link
        self._keys = keys
        self._topics = topics

    def bring(
        self, origin: TopicKey, departures: Sequence[Sequence[bytes]], now: datetime
    ) -> Counter[TopicKey]:
        """Bring what left `origin` to where it is going; how many went to which topic."""
        groups: dict[TopicKey, list[Journey]] = defaultdict(list)
        for position, entry in departures:
            if entry is not None:  # else somebody else has brought it
                journey = _read(origin, position, entry)
                groups[journey.target].append(journey)
        for target, journeys in groups.items():
            self._arrive(target, journeys, now)
            leaving = self._keys.of_topic(origin)[LEAVING]
            self._link.command("HDEL", leaving, *(journey.position for journey in journeys))
        return Counter({target: len(journeys) for target, journeys in groups.items()})

    def bring_all(self, origin: TopicKey, now: datetime) -> None:
        """Bring all that has left `origin` and has not arrived."""
        found = self._link.command("HGETALL", self._keys.of_topic(origin)[LEAVING])
        listed = found.items() if isinstance(found, dict) else zip(*[iter(found)] * 2, strict=True)
        self.bring(origin, [*listed], now)

    def forget(self, target: TopicKey, journeys: Sequence[bytes]) -> None:
        """Forget those journeys to `target` that their origins have noted as ended."""
        if not journeys:
            return
        noted = self._link.commands([_still_leaving(self._keys, name) for name in journeys])
        over = [name for name, leaving in zip(journeys, noted, strict=True) if not leaving]
        if over:
            self._link.command("ZREM", self._keys.of_topic(target)[ARRIVED], *over)

    def _arrive(self, target: TopicKey, journeys: Sequence[Journey], now: datetime) -> None:
        found = self._topics.current(target) or self._topics.ensure(target, now)
        while True:
            version, topic = found
            answer = self._link.run(
                "arrive",
                self._keys.of_topic(target),
                micros(now),
                version,
                packed([record_of(each.message, topic) for each in journeys]),
                packed([each.name for each in journeys]),
                *(body_of(each.message) for each in journeys),
            )
            if answer[0] == b"arrived":
                self.plan_sweep(target, answer[1])
                return
            found = self._topics.note(target, answer[1:]) or self._topics.ensure(target, now)

    def plan_sweep(self, key: TopicKey, moment: bytes) -> None:
        """See to it that the topic is swept by then; an empty moment means that it is planned.

        What the moment belongs to is done already, so that a failure here is nobody's error: the
        sweep comes a little later.
        """
        if not moment:
            return
        try:
            self._link.run("plan", [self._keys.sweeps], "LT", moment, tag_of(key))
        except StoreUnavailable:
            log.warning("the sweep of topic %s is not planned", key.name)

    def try_to_bring(
        self, origin: TopicKey, departures: Sequence[Sequence[bytes]], now: datetime
    ) -> None:
        """Bring what left, or leave it to the sweep."""
        try:
            self.bring(origin, departures, now)
        except StoreUnavailable:
            log.warning("%d letters of topic %s are on their way", len(departures), origin.name)


def _still_leaving(keys: Keys, journey: bytes) -> tuple[str, str, str]:
    tag, _at, position = journey.decode().rpartition(_AT)
    return "HEXISTS", keys.of_topic(topic_of_tag(tag))[LEAVING], position


def _read(origin: TopicKey, position: bytes, entry: bytes) -> Journey:
    length = int(entry[:_HEAD])
    record, body = entry[_HEAD : _HEAD + length], entry[_HEAD + length :]
    kind, target, ttl, left_at, fields = msgspec.msgpack.decode(record)
    message = message_from(fields, body, 0)
    moment = moment_of(left_at)
    if kind == "dead":
        message = message.dead(moment, None if ttl < 0 else ttl, origin.name)
    else:
        message = message.redriven(moment)
    name = f"{tag_of(origin)}{_AT}{position.decode()}"
    return Journey(name, position, TopicKey(origin.project_id, target), message)
