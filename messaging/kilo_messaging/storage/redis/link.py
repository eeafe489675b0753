"""The way to a Redis, or to the nodes of a Redis Cluster: many commands at once, in one pipeline.

Commands of concurrent callers share a pipeline, and with it a round trip and an fsync.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from kilo_common.errors import Unavailable
from kilo_messaging.storage.line import Line
from kilo_messaging.storage.redis.scripts import Script, load_scripts
from kilo_messaging.storage.redis.url import RedisUrl

log = logging.getLogger(__name__)
T = TypeVar("T")
MOST = 128
_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Answers of a cluster whose nodes share the keys out anew."""
_ONCE = frozenset({"pop", "redrive", "deliveries_settle"})
"""Scripts that must not run twice for one call. All others find that they ran before."""


class StoreUnavailable(Unavailable):
    """Redis does not answer, or refuses to write."""

    code = "messaging.store.unavailable"


@dataclass(frozen=True)
class Command:
    """One command; `route` is a key that leads to its node."""

    words: tuple[Any, ...]
    route: str
    script: Script | None = None

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again where no answer came."""
        return self.script is None or self.script.name not in _ONCE

    @property
    def with_source(self) -> tuple[Any, ...]:
        """The same for a node that does not know the script yet."""
        assert self.script is not None
        return ("EVAL", self.script.source, *self.words[2:])


class RedisLink:
    """Runs commands. Nothing is kept between two of them, and any thread may call."""

    def __init__(self, url: RedisUrl, *, pool_size: int, timeout: float) -> None:
        """Connects only when it is first used."""
        self._url = url
        self._timeout = timeout
        self._pool_size = pool_size
        self._client: Any = None
        self._cluster = bool(url.nodes)
        self._scripts: Mapping[str, Script] = load_scripts()
        self._line: Line[Command, Any] = Line(self._send_all, most=MOST)

    def run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        """What the script answers.

        Raises:
            StoreUnavailable: no answer.
        """
        found = self._scripts[script]
        words = ("EVALSHA", found.sha, len(keys), *keys, *arguments)
        return self._line.do(Command(words, keys[0], found))

    def command(self, name: str, key: str, *arguments: Any) -> Any:
        """What a plain command on one key answers.

        Raises:
            StoreUnavailable: no answer.
        """
        return self._line.do(Command((name, key, *arguments), key))

    def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to several, each with its key in second place, in one round trip.

        Raises:
            StoreUnavailable: no answer to one of them.
        """
        answers = self._send_all([Command(words, words[1]) for words in commands])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def primaries(self) -> list[Any]:
        """A client of each server that holds data.

        Raises:
            StoreUnavailable: no answer.
        """

        def find() -> list[Any]:
            client = self._connected()
            if not self._cluster:
                return [client]
            return [client.get_redis_connection(node) for node in client.get_primaries()]

        return self.guard(find)

    def guard(self, work: Callable[[], T]) -> T:
        """What `work` returns, with the errors of redis-py as our own.

        Raises:
            StoreUnavailable: no answer.
        """
        try:
            return work()
        except (RedisError, OSError) as fault:
            raise unavailable(fault) from fault

    def close(self) -> None:
        """Let go of all connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Any:
        if self._client is None:
            options = {
                "socket_timeout": self._timeout,
                "socket_connect_timeout": min(self._timeout, 5.0),
                "retry": Retry(NoBackoff(), 0),
                "protocol": 2,
                "max_connections": self._pool_size,
                "timeout": self._timeout,
            }
            self._client = (
                self._open_cluster(options)
                if self._cluster
                else redis.Redis.from_pool(
                    redis.BlockingConnectionPool.from_url(self._url.plain, **options)
                )
            )
        return self._client

    def _open_cluster(self, options: dict[str, Any]) -> Any:
        # A cluster's client makes a pool for each node, which does not wait for a free connection.
        del options["timeout"], options["retry"]
        options["max_connections"] = 4 * self._pool_size
        make_node: Any = ClusterNode
        nodes = [make_node(host, port) for host, port in self._url.nodes]
        return RedisCluster(startup_nodes=nodes, **self._url.credentials, **options)

    def _send_all(self, commands: Sequence[Command]) -> list[Any]:
        """An answer or an error for each."""
        try:
            client = self._connected()
            groups: dict[Any, list[int]] = defaultdict(list)
            for number, command in enumerate(commands):
                node = client.get_node_from_key(command.route) if self._cluster else None
                groups[node].append(number)
            answers: list[Any] = [None] * len(commands)
            for node, numbers in groups.items():
                there = client if node is None else client.get_redis_connection(node)
                found = self._send(there, [commands[number] for number in numbers])
                for number, answer in zip(numbers, found, strict=True):
                    answers[number] = self._second_try(commands[number], answer)
        except (RedisError, RedisClusterException, OSError) as fault:
            return [unavailable(fault)] * len(commands)
        return [unavailable(each) if isinstance(each, Exception) else each for each in answers]

    def _send(self, client: Any, commands: Sequence[Command]) -> list[Any]:
        """Send to one node; twice, where a connection broke that may have been old."""
        for last in (False, True):
            if last:
                commands_now = [each if each.repeatable else None for each in commands]
            else:
                commands_now = list(commands)
            try:
                pipeline = client.pipeline(transaction=False)
                for command in commands_now:
                    if command is not None:
                        pipeline.execute_command(*command.words)
                answers = iter(pipeline.execute(raise_on_error=False))
            except RedisConnectionError as fault:
                if last or isinstance(fault, redis.exceptions.TimeoutError):
                    return [fault] * len(commands)
                broken = fault
            else:
                return [broken if each is None else next(answers) for each in commands_now]
        raise AssertionError("unreachable")

    def _second_try(self, command: Command, answer: Any) -> Any:
        """The answer, or another one where the first says how to get it."""
        try:
            if isinstance(answer, NoScriptError):
                return self._client.execute_command(*command.with_source)
            if isinstance(answer, _ELSEWHERE) or (
                self._cluster and command.repeatable and isinstance(answer, RedisConnectionError)
            ):
                # This client follows redirections and learns the new map on the way.
                words = command.words if command.script is None else command.with_source
                return self._client.execute_command(*words)
        except (RedisError, OSError) as fault:
            return fault
        return answer


def unavailable(fault: Exception) -> StoreUnavailable:
    """Our own error for one of redis-py's; the log has its text."""
    log.error("redis: %s: %s", type(fault).__name__, fault)
    return StoreUnavailable("The Redis store does not answer; try again in a few seconds")
