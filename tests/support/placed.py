"""Stores in front of stores, as every service has them."""

import base64

from kilo_common.clock import SystemClock
from kilo_messaging.domain.pool import Pool
from kilo_messaging.storage.base import Stores
from kilo_messaging.storage.memory.store import open_memory_store
from kilo_messaging.storage.pools.router import Router
from kilo_messaging.storage.pools.stores import placing_stores
from kilo_messaging.storage.sealing.seal import Seal
from kilo_messaging.storage.sealing.stores import sealing_stores


def placed_stores() -> Stores:
    """Empty stores that place topics on a pool in memory and can encrypt."""
    main, beside = open_memory_store(), open_memory_store()
    main.placements.put_pool(Pool(name="one", uri="memory://one", weight=1, ready=True))
    router = Router(main, lambda _pool: beside, SystemClock())
    seal = Seal({"one": base64.b64encode(b"1" * 32).decode()}, "one")
    return sealing_stores(placing_stores(router), seal)
