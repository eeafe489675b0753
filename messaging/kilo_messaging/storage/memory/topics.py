"""Topics in memory."""

from bisect import bisect_right
from datetime import datetime

import msgspec

from kilo_messaging.domain.topic import Metadata, Topic, TopicKey
from kilo_messaging.storage.base import Change, TopicStore
from kilo_messaging.storage.memory.shelf import Memory, Shelf


class MemoryTopics(TopicStore):
    """Topics in memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def create(self, key: TopicKey, metadata: Metadata, now: datetime) -> bool:
        with self._memory.lock:
            if key in self._memory.shelves:
                return False
            topic = Topic(key=key, metadata=dict(metadata), created_at=now)
            self._memory.shelves[key] = Shelf(topic)
            return True

    def get(self, key: TopicKey) -> Topic | None:
        return self._memory.on_shelf(key, lambda shelf: shelf.topic, None)

    def page(self, project_id: str, *, after: str, limit: int) -> list[Topic]:
        with self._memory.lock:
            names = sorted(
                each.name for each in self._memory.shelves if each.project_id == project_id
            )
            chosen = names[bisect_right(names, after) :][:limit]
            return [self._memory.shelves[TopicKey(project_id, name)].topic for name in chosen]

    def count(self, project_id: str) -> int:
        with self._memory.lock:
            return sum(key.project_id == project_id for key in self._memory.shelves)

    def update(self, key: TopicKey, change: Change, now: datetime) -> Topic:
        with self._memory.lock:
            present = self._memory.shelves.get(key)
            metadata = change(present.topic.metadata if present else {})
            shelf = self._memory.shelf(key, now)
            shelf.topic = msgspec.structs.replace(shelf.topic, metadata=metadata)
            return shelf.topic

    def delete(self, key: TopicKey) -> None:
        with self._memory.lock:
            self._memory.shelves.pop(key, None)
