"""The matchmaker in Redis: `matchmaker=redis&matchmaker_url=redis://HOST:PORT/DB`.

A place is a hash of its records, each with the moment its lease ends by the server's clock; a set
for each node says in which places it stands. Scripts, so that no reader sees half a change.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import redis
from redis.exceptions import RedisError

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.url import BusUrlInvalid
from kilo_common.bus.zmq_transport.matchmaking.base import Matchmaker, Record, Role

T = TypeVar("T")
PREFIX = "kilo:zmq:"
TIMEOUT = 5.0
_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function keep(key, ends)
  if redis.call('PTTL', key) < ends - now then redis.call('PEXPIREAT', key, ends) end
end
"""
_REGISTER = (
    _NOW
    + """
local ends = now + ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], ends)
keep(KEYS[1], ends)
if ARGV[3] ~= '' then
  redis.call('SADD', KEYS[2], KEYS[1] .. '\\0' .. ARGV[1])
  keep(KEYS[2], ends)
end
"""
)
_RENEW = (
    _NOW
    + """
local ends = now + ARGV[1]
local standing = 0
for _, entry in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local cut = string.find(entry, '\\0', 1, true)
  local place, field = string.sub(entry, 1, cut - 1), string.sub(entry, cut + 1)
  local until_when = tonumber(redis.call('HGET', place, field) or '0')
  if until_when > now then
    standing = standing + 1
    redis.call('HSET', place, field, ends)
    keep(place, ends)
  else
    redis.call('SREM', KEYS[1], entry)
  end
end
if standing > 0 then keep(KEYS[1], ends) end
return standing
"""
)
_LOOKUP = (
    _NOW
    + """
local found = {}
local book = redis.call('HGETALL', KEYS[1])
for i = 1, #book, 2 do
  if tonumber(book[i + 1]) > now then found[#found + 1] = book[i]
  else redis.call('HDEL', KEYS[1], book[i]) end
end
return found
"""
)


class RedisMatchmaker(Matchmaker):
    """Keys expire by themselves with the last lease in them."""

    def __init__(self, options: Mapping[str, str]) -> None:
        url = options.get("matchmaker_url", "")
        try:
            self._client: Any = redis.Redis.from_url(
                url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
            )
        except ValueError as fault:
            raise BusUrlInvalid(
                f"bus.url: matchmaker=redis needs matchmaker_url=redis://HOST:PORT/DB: {fault}",
                option="matchmaker_url",
            ) from None
        self._register = self._client.register_script(_REGISTER)
        self._renew = self._client.register_script(_RENEW)
        self._lookup = self._client.register_script(_LOOKUP)

    def start(self) -> None:
        self._guard(self._client.ping)

    def close(self) -> None:
        self._client.close()

    def register(self, record: Record, lease: float) -> None:
        self._guard(
            self._register,
            keys=[_place(record.place), _node(record.node)],
            args=[_field(record), int(lease * 1000), record.node],
        )

    def renew(self, node: str, lease: float) -> bool:
        return bool(self._guard(self._renew, keys=[_node(node)], args=[int(lease * 1000)]))

    def remove(self, record: Record) -> None:
        self._guard(self._client.hdel, _place(record.place), _field(record))

    def lookup(self, place: str) -> tuple[Record, ...]:
        found = self._guard(self._lookup, keys=[_place(place)])
        return tuple(_record(place, field) for field in found)

    def _guard(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except RedisError as fault:
            raise BusUnavailable(f"The matchmaker's Redis does not answer: {fault}") from fault


def _place(place: str) -> str:
    return f"{PREFIX}place:{place}"


def _node(node: str) -> str:
    return f"{PREFIX}node:{node}"


def _field(record: Record) -> bytes:
    return msgspec.json.encode([record.role.value, record.group, record.node, record.endpoint])


def _record(place: str, field: bytes) -> Record:
    role, group, node, endpoint = msgspec.json.decode(field, type=tuple[str, str, str, str])
    return Record(Role(role), place, group, node, endpoint)
