"""The URL of a Redis store.

`redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` with TLS, `unix://PATH?db=N`; for a
Redis Cluster `redis+cluster://HOST:PORT,HOST:PORT` or `rediss+cluster://…`, with one or more of its
nodes. The option `prefix` is what the names of all keys begin with; others are redis-py's.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from kilo_common.errors import ConfigInvalid

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
PREFIX = "kilo:"
PORT = 6379
_NODE = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^:\[\]@/]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class RedisUrl:
    """Where a Redis is, or some nodes of a cluster."""

    prefix: str
    plain: str = ""
    """The URL without our own options; empty for a cluster."""
    nodes: tuple[tuple[str, int], ...] = ()
    """Hosts and ports of a cluster."""
    credentials: dict[str, Any] = field(default_factory=dict)
    """User, password and TLS of a cluster, as redis-py calls them."""


def is_redis(url: str) -> bool:
    """Whether a URL names a Redis."""
    return url.partition("://")[0].lower() in SCHEMES


def read_url(text: str) -> RedisUrl:
    """The URL in its parts.

    Raises:
        ConfigInvalid: it is none of ours; the message has no password in it.
    """
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as fault:
        raise _invalid(str(fault)) from None
    prefix = options.pop("prefix", PREFIX)
    if not prefix.isprintable() or set(prefix) & set("{}"):
        raise _invalid("prefix must be printable and without braces")
    if not parts.scheme.endswith("+cluster"):
        plain = urlunsplit(parts._replace(query=urlencode(options)))
        return RedisUrl(prefix, plain)
    if options or parts.path.strip("/"):
        raise _invalid("a cluster has one database and no option but prefix")
    user, _at, hosts = parts.netloc.rpartition("@")
    name, _colon, password = user.partition(":")
    credentials: dict[str, Any] = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    if password:
        credentials |= {"username": unquote(name) or None, "password": unquote(password)}
    return RedisUrl(prefix, "", tuple(_node(each) for each in hosts.split(",")), credentials)


def _node(text: str) -> tuple[str, int]:
    match = _NODE.fullmatch(text)
    if match is None or not 0 < int(match["port"] or PORT) < 65536:
        raise _invalid("a cluster is HOST:PORT,HOST:PORT")
    return match["host"].strip("[]"), int(match["port"] or PORT)


def _invalid(reason: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"database.url: this is not the URL of a Redis (redis://HOST:PORT/DATABASE): {reason}",
        key="database.url",
    )
