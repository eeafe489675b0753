"""Opening the store in memory."""

from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.memory.claims import MemoryClaims
from kilo_messaging.storage.memory.deliveries import MemoryDeliveries
from kilo_messaging.storage.memory.messages import MemoryMessages
from kilo_messaging.storage.memory.placements import MemoryPlacements
from kilo_messaging.storage.memory.shelf import Memory
from kilo_messaging.storage.memory.subscriptions import MemorySubscriptions
from kilo_messaging.storage.memory.topics import MemoryTopics


def open_memory_store() -> Stores:
    """A new, empty store. What it is given is gone with the process."""
    memory = Memory()
    return Stores(
        topics=MemoryTopics(memory),
        messages=MemoryMessages(memory),
        claims=MemoryClaims(memory),
        check=lambda: None,
        subscriptions=MemorySubscriptions(memory),
        deliveries=MemoryDeliveries(memory),
        placements=MemoryPlacements(),
    )
