"""Whether a Redis keeps what it has acknowledged, through kill -9 and power loss.

Redis does so with `appendonly yes` and `appendfsync always`: then it answers after the fsync, and
all that waits at that moment shares one. With `maxmemory` it must refuse to write rather than
forget.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from kilo_common.errors import ConfigInvalid
from kilo_messaging.storage.redis.link import RedisLink

log = logging.getLogger(__name__)
OLDEST = (7, 0)


class RedisVolatile(ConfigInvalid):
    """The Redis server may lose what it has acknowledged."""

    code = "messaging.store.redis_volatile"


class RedisTooOld(ConfigInvalid):
    """The Redis server is older than what the scripts are written for."""

    code = "messaging.store.redis_too_old"


def check_durable(link: RedisLink, *, required: bool) -> None:
    """Return if every server keeps what it acknowledges; where not `required`, warn instead.

    Raises:
        RedisVolatile: one does not; the sentence says what to set.
        RedisTooOld: one is older than Redis 7.0.
        StoreUnavailable: no answer.
    """
    for client in link.primaries():
        version = link.guard(partial(_version_of, client))
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            raise RedisTooOld(f"The store needs Redis 7.0 or newer; this is {version}")
        wrong = what_is_wrong(_settings_of(link, client))
        if wrong and required:
            raise RedisVolatile(
                f"The Redis server would lose acknowledged messages: {wrong}. For data that may be "
                "lost, run with --ephemeral or set messaging.durable = false."
            )
        if wrong:
            log.warning("the Redis server may lose acknowledged messages: %s", wrong)


def what_is_wrong(settings: Mapping[str, str]) -> str:
    """What to set on the server; empty if nothing."""
    remedies = []
    if settings.get("appendonly") != "yes":
        remedies.append("set 'appendonly yes'")
    if settings.get("appendfsync") != "always":
        remedies.append("set 'appendfsync always'")
    limited = settings.get("maxmemory", "0") not in ("0", "")
    if limited and settings.get("maxmemory-policy") != "noeviction":
        remedies.append("set 'maxmemory-policy noeviction'")
    return ", ".join(remedies)


def _settings_of(link: RedisLink, client: Any) -> Mapping[str, str]:
    """The settings that matter; none where the server does not tell them."""
    names = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")

    def ask() -> dict[str, str]:
        try:
            return {_text(name): _text(value) for name, value in client.config_get(*names).items()}
        except ResponseError as refused:
            raise RedisVolatile(
                "The Redis server does not tell its settings (CONFIG GET: "
                f"{refused}): allow it for this user, or set messaging.durable = false once you "
                "have made sure of 'appendonly yes' and 'appendfsync always'"
            ) from None

    return link.guard(ask)


def _version_of(client: Any) -> str:
    return str(client.info("server")["redis_version"])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
