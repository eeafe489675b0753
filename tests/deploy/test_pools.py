"""Two API processes over one PostgreSQL, with pools on another and on a Redis: topics move, clients
go on, and nothing is lost."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from kilo_deploy.testing import KilostackProcess
from support.databases import fresh
from support.redis_server import RedisServer

pytestmark = pytest.mark.services
HEADERS = {"Client-ID": str(uuid.uuid4()), "X-Project-Id": "p1"}


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def urls(undo: ExitStack, tmp_path: Path, rabbit_url: str) -> list[str]:
    """Two processes that are ready."""
    name = f"kilo-pools-{uuid.uuid4().hex[:8]}"
    main = undo.enter_context(fresh("postgresql"))
    config = tmp_path / "kilo.toml"
    config.write_text(
        f"""
state_dir = "{tmp_path}/state"
[bus]
url = "{rabbit_url}"
exchange = "{name}"
notification_topic = "{name}"
[messaging]
websocket_port = 0
[messaging.database]
url = "{main}"
[messaging.http]
port = 0
[auth]
strategy = "none"
"""
    )
    upgrade = KilostackProcess(["db", "upgrade", "--config", str(config)])
    assert upgrade.wait() == 0, "".join(upgrade.output)
    processes = [
        KilostackProcess(["serve", "messaging", "--config", str(config)]) for _each in range(2)
    ]
    for process in processes:
        undo.callback(process.kill)
    return [each.wait_for("is ready at").split(" at ")[1].split()[0] for each in processes]


def test_topics_move_between_pools_while_two_processes_post_and_consume(
    urls: list[str], undo: ExitStack, durable_redis: RedisServer
) -> None:
    def session() -> requests.Session:
        made = undo.enter_context(requests.Session())
        made.headers.update(HEADERS)
        return made

    work = "/v2/topics/work"
    operator = session()

    def put(process: int, path: str, **body: object) -> requests.Response:
        answer = operator.put(urls[process] + path, json=body, timeout=60)
        assert answer.status_code in (200, 201, 204), answer.text
        return answer

    east = undo.enter_context(fresh("postgresql"))
    put(0, "/v2/pools/east", uri=east, weight=1)
    red = f"{durable_redis.url}?prefix={uuid.uuid4().hex}:"
    put(1, "/v2/pools/red", uri=red, weight=0)

    stopped = threading.Event()
    posted: list[list[str]] = [[], []]
    consumed: list[list[str]] = [[], []]

    def keep_posting(process: int) -> None:
        client = session()
        while not stopped.is_set():
            bodies = [f"{process}-{len(posted[process]) + more:06}" for more in range(5)]
            messages = [{"body": body, "ttl": 600} for body in bodies]
            url = f"{urls[process]}{work}/messages"
            answer = client.post(url, json={"messages": messages}, timeout=60)
            assert answer.status_code == 201, answer.text
            posted[process] += bodies

    def keep_consuming(process: int) -> None:
        client = session()
        while not stopped.is_set():
            answer = client.delete(f"{urls[process]}{work}/messages?pop=3", timeout=60)
            assert answer.status_code == 200, answer.text
            consumed[process] += [each["body"] for each in answer.json()["messages"]]

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(keep_posting, process) for process in range(2)]
        working += [pool.submit(keep_consuming, process) for process in range(2)]
        try:
            for process, name in ((0, "red"), (1, "main")):
                while not posted[0] or not posted[1]:
                    stopped.wait(0.01)
                put(process, f"{work}/placement", pool=name)
        finally:
            stopped.set()
        for each in working:
            each.result()
    where = operator.get(f"{urls[0]}{work}/placement", timeout=60).json()
    assert where == {"pool": "main"}
    left: list[str] = []
    while found := operator.delete(f"{urls[1]}{work}/messages?pop=20", timeout=60).json():
        if not found["messages"]:
            break
        left += [each["body"] for each in found["messages"]]
    assert sorted([*consumed[0], *consumed[1], *left]) == sorted(posted[0] + posted[1])
