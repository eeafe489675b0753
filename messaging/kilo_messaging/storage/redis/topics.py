"""Topics in Redis.

A topic is a hash on its own tag, and a name in its project's list, which may be on another node.
The name is written down first: a list may for a moment name a topic that is not there, which is
left out, but no topic is ever missing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice

from kilo_messaging.domain.topic import Metadata, Topic, TopicKey
from kilo_messaging.storage.base import Change, TopicStore
from kilo_messaging.storage.redis.keys import Keys, tag_of
from kilo_messaging.storage.redis.link import RedisLink
from kilo_messaging.storage.redis.records import micros, topic_fields, topic_of

IDLE = timedelta(hours=1)
"""So often the sweep looks at a topic at least, whatever it was told."""
_REMEMBERED = 10_000
_SCAN = 256


class KnownTopics:
    """Topics as they were when they were last seen, each with its version.

    Who writes for a topic names the version it knows, and hears when that is an old one.
    """

    def __init__(self) -> None:
        self._known: dict[TopicKey, tuple[bytes, Topic]] = {}

    def get(self, key: TopicKey) -> tuple[bytes, Topic] | None:
        """The topic and its version as they were."""
        return self._known.get(key)

    def note(self, key: TopicKey, fields: Sequence[bytes | None]) -> tuple[bytes, Topic] | None:
        """What is so now: version, metadata, time of making; None if there is no such topic."""
        version, metadata, created = fields
        if not version or metadata is None or not created:
            self._known.pop(key, None)
            return None
        if len(self._known) >= _REMEMBERED:
            for old in list(islice(self._known, _REMEMBERED // 10)):
                self._known.pop(old, None)
        seen = version, topic_of(key, metadata, created)
        self._known[key] = seen
        return seen


class RedisTopics(TopicStore):
    """Topics in Redis."""

    def __init__(self, link: RedisLink, keys: Keys, known: KnownTopics) -> None:
        self._link = link
        self._keys = keys
        self._known = known

    def create(self, key: TopicKey, metadata: Metadata, now: datetime) -> bool:
        if self._find(key) is not None:
            return False
        self._write_name(key, now)
        made = self._link.run(
            "topic_create", self._keys.of_topic(key), micros(now), *topic_fields(key, metadata)
        )
        if made:
            # Once more, for somebody may have deleted the topic of the same name meanwhile.
            self._write_name(key, now)
        return bool(made)

    def get(self, key: TopicKey) -> Topic | None:
        found = self._find(key)
        return None if found is None else found[1]

    def page(self, project_id: str, *, after: str, limit: int) -> list[Topic]:
        found: list[Topic] = []
        while len(found) < limit:
            names = self._names_after(project_id, after, limit)
            keys = [TopicKey(project_id, name) for name in names]
            present = [each[1] for each in self._find_all(keys) if each is not None]
            found += present[: limit - len(found)]
            if len(names) < limit:
                break
            after = names[-1]
        return found

    def count(self, project_id: str) -> int:
        return int(self._link.command("ZCARD", self._keys.names(project_id)))

    def update(self, key: TopicKey, change: Change, now: datetime) -> Topic:
        while True:
            found = self._find(key)
            metadata = change(found[1].metadata if found else {})
            if found is None:
                if self.create(key, metadata, now):
                    return Topic(key=key, metadata=metadata, created_at=now)
                continue
            version, topic = found
            changed = self._link.run(
                "topic_update",
                self._keys.of_topic(key),
                micros(now),
                version,
                *topic_fields(key, metadata),
            )
            if changed:
                return Topic(key=key, metadata=metadata, created_at=topic.created_at)

    def delete(self, key: TopicKey) -> None:
        name = self._keys.names(key.project_id)
        self._link.run("topic_delete", self._keys.with_deliveries(key), 0)
        self._link.command("ZREM", name, key.name)
        if self._find(key) is not None:  # somebody has made it anew
            self._link.command("ZADD", name, 0, key.name)

    def ensure(self, key: TopicKey, now: datetime) -> tuple[bytes, Topic]:
        """The topic and its version; a missing one is made."""
        while (found := self._find(key)) is None:
            self.create(key, {}, now)
        return found

    def current(self, key: TopicKey) -> tuple[bytes, Topic] | None:
        """The topic and its version, as last seen or as it is; None if there is no such topic."""
        return self._known.get(key) or self._find(key)

    def note(self, key: TopicKey, fields: Sequence[bytes | None]) -> tuple[bytes, Topic] | None:
        """Take in what a script says the topic is now."""
        return self._known.note(key, fields)

    def _find(self, key: TopicKey) -> tuple[bytes, Topic] | None:
        return self._find_all([key])[0]

    def _find_all(self, keys: Sequence[TopicKey]) -> list[tuple[bytes, Topic] | None]:
        commands = [
            ("HMGET", self._keys.of_topic(key)[0], "version", "metadata", "created") for key in keys
        ]
        answers = self._link.commands(commands)
        return [self._known.note(key, found) for key, found in zip(keys, answers, strict=True)]

    def _names_after(self, project_id: str, after: str, limit: int) -> list[str]:
        past = f"({after}" if after else "-"
        names = self._keys.names(project_id)
        found = self._link.command("ZRANGEBYLEX", names, past, "+", "LIMIT", 0, limit)
        return [name.decode() for name in found]

    def _write_name(self, key: TopicKey, now: datetime) -> None:
        sweep_at = micros(now + IDLE)
        self._link.commands(
            [
                ("ZADD", self._keys.names(key.project_id), 0, key.name),
                ("ZADD", self._keys.sweeps, "LT", sweep_at, tag_of(key)),
            ]
        )
