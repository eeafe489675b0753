"""Fixtures for every test: real servers where they are reachable, a failure on CI where not."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers import rabbitmq
from support.databases import ReadyDatabases, fresh
from support.redis_server import DURABLE, RedisServer, running, running_cluster

pytest.register_assert_rewrite("contracts")

REDIS = "redis://127.0.0.1:6379/9"


def require_program(name: str) -> None:
    """Skip without the program on a laptop; on CI its absence is a failure."""
    if shutil.which(name) is None:
        message = f"there is no {name} on the PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def require(port: int, what: str) -> None:
    """Skip without the server on a laptop; on CI its absence is a failure."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError as fault:
        message = f"{what} cannot be reached on 127.0.0.1:{port}: {fault}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def require_server() -> Callable[[int, str], None]:
    """Skips, or on CI fails, unless there is a server at the port."""
    return require


@pytest.fixture(scope="session")
def executor() -> Iterator[ThreadPoolExecutor]:
    """Native threads, as a runtime has them."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture(scope="session")
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbitmq.Node]:
    """A RabbitMQ that tests may do anything to."""
    if rabbitmq.SERVER is None:
        message = "rabbitmq-server is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    node = rabbitmq.Node(tmp_path_factory.mktemp("rabbit"))
    node.start()
    yield node
    node.kill()


@pytest.fixture
def rabbit_port(request: pytest.FixtureRequest) -> int:
    """The port of a RabbitMQ: the one that is there, or with TEST_RABBITMQ_FOLDER that one."""
    if rabbitmq.FOLDER:
        node: rabbitmq.Node = request.getfixturevalue("own_node")
        if not node.greets():
            node.start()
        return node.port
    require(5672, "RabbitMQ")
    return 5672


@pytest.fixture
def rabbit_url(rabbit_port: int) -> str:
    """A RabbitMQ; tests use topics with names of their own, and leave nothing behind on it."""
    return f"rabbit://guest:guest@127.0.0.1:{rabbit_port}/?temporary=true"


@pytest.fixture
def redis_url() -> str:
    """A Redis; tests use names of their own that expire by themselves."""
    require(6379, "Redis")
    return REDIS


@pytest.fixture
def require_redis_server() -> None:
    """Skips, or on CI fails, where no Redis can be started."""
    require_program("redis-server")


@pytest.fixture(scope="session")
def durable_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of our own that keeps what it acknowledges; shared, so use names of your own."""
    require_program("redis-server")
    with running(tmp_path_factory.mktemp("redis"), *DURABLE) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis Cluster of three; shared, so use names of your own."""
    require_program("redis-server")
    with running_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


@pytest.fixture(params=["postgresql", "mariadb"])
def database_server(request: pytest.FixtureRequest) -> str:
    """The name of each real database server."""
    server: str = request.param
    require(*{"postgresql": (5432, "PostgreSQL"), "mariadb": (3306, "MariaDB")}[server])
    return server


@pytest.fixture
def service_url(database_server: str) -> Iterator[str]:
    """A database of its own, without any table, on each real database server."""
    with fresh(database_server) as url:
        yield url


@pytest.fixture(scope="session")
def ready_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadyDatabases]:
    """Databases that have a schema already."""
    ready = ReadyDatabases(tmp_path_factory.mktemp("databases"))
    yield ready
    ready.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of gevent's servers run only where the standard library is patched."""
    if "gevent.monkey" in sys.modules and sys.modules["gevent.monkey"].is_module_patched("socket"):
        return
    for item in items:
        if item.get_closest_marker("gevent"):
            item.add_marker(pytest.mark.skip(reason="needs gevent: nox -s gevent"))


@pytest.fixture
def unused_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def pytest_make_parametrize_id(val: object) -> str | None:
    """Ids without a colon: gabbi takes every test that has one in its id for a story of its own."""
    text = val.decode(errors="replace") if isinstance(val, bytes) else val
    if isinstance(text, str) and ":" in text:
        return text.replace(":", ".").encode("unicode_escape").decode()[:60]
    return None
