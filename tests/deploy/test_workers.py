"""Several worker processes share the work; some are killed in the middle, and nothing is lost."""

import os
import queue
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kilo_common.bus.connect import open_transport
from kilo_common.bus.envelope import Notification, unwrap
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Delivery
from kilo_deploy.client import ApiClient
from kilo_deploy.testing import KilostackProcess
from support.gated import DATA, GatedServer, gated_server

pytestmark = [
    pytest.mark.services,
    # Who takes which task is tested on each database, by the contract of the records.
    pytest.mark.parametrize("database_server", ["postgresql"], indirect=True),
]
TASKS = 60
WORKERS = 4
AT_A_TIME = 4


@pytest.fixture
def server() -> Iterator[GatedServer]:
    with gated_server() as made:
        yield made


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def config(tmp_path: Path, rabbit_url: str, service_url: str) -> Path:
    """A deployment whose processes share no folder: records and bytes are in the database."""
    name = f"kilo-workers-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "kilo.toml"
    file.write_text(
        f"""
state_dir = "{tmp_path}/state"
[bus]
url = "{rabbit_url}"
exchange = "{name}"
notification_topic = "{name}"
[catalog]
staging_store = "staging"
[auth]
strategy = "none"
[catalog.http]
port = 0
[catalog.database]
url = "{service_url}"
[catalog.stores.main]
driver = "sql"
url = "{service_url}"
[catalog.stores.staging]
driver = "sql"
url = "{service_url}"
[catalog.imports]
lease = 10.0
concurrency = {AT_A_TIME}
per_project = {TASKS}
scratch = "{tmp_path}/none"
[catalog.imports.fetch]
allow_loopback = true
ports = []
"""
    )
    return file


@contextmanager
def ended_tasks(config: Path, rabbit_url: str) -> Iterator["queue.SimpleQueue[Notification]"]:
    """What the bus tells of tasks that ended."""
    name = next(
        line.split('"')[1] for line in config.read_text().splitlines() if "exchange" in line
    )
    found: queue.SimpleQueue[Notification] = queue.SimpleQueue()

    def hear(delivery: Delivery) -> None:
        news = Notification.from_message(unwrap(delivery.body))
        if news.event_type in ("task.success", "task.failure"):
            found.put(news)
        delivery.ack()

    transport = open_transport(rabbit_url)
    transport.start()
    try:
        transport.consume(Target(f"{name}.info", name).topic_address, hear)
        yield found
    finally:
        transport.stop(5.0)


def start(processes: ExitStack, *arguments: str) -> KilostackProcess:
    process = KilostackProcess(["serve", *arguments])
    processes.callback(process.kill)
    return process


def begin_imports(catalog: ApiClient, server: GatedServer) -> set[str]:
    """Images whose data is asked for; a third of them was staged already."""
    images = set()
    for number in range(TASKS):
        record = {"name": f"n{number}", "disk_format": "raw", "container_format": "bare"}
        image_id = catalog.json("POST", "/v2/images", record)["id"]
        method = {"name": "web-download", "uri": f"{server.url}/{number}"}
        if number % 3 == 2:
            catalog.upload(f"/v2/images/{image_id}/stage", [DATA], len(DATA))
            method = {"name": "glance-direct"}
        catalog.json("POST", f"/v2/images/{image_id}/import", {"method": method})
        images.add(image_id)
    return images


def test_all_tasks_end_once_although_half_of_the_workers_are_killed(
    config: Path, rabbit_url: str, processes: ExitStack, server: GatedServer
) -> None:
    assert KilostackProcess(["db", "upgrade", "--config", str(config)]).wait() == 0
    api = start(processes, "catalog-api", "--config", str(config))
    url = api.wait_for("is ready at").split(" at ")[1].split()[0]
    catalog = ApiClient(url, {"X-Project-Id": "p1"})
    with ended_tasks(config, rabbit_url) as ended:
        images = begin_imports(catalog, server)
        crew = start(processes, "catalog-worker", "--config", str(config), "--workers", "4")
        pids = [int(crew.wait_for("process ").rsplit(" ", 1)[1]) for _ in range(WORKERS)]
        for _ in range(WORKERS * AT_A_TIME):
            server.waiting.get(timeout=60)
        for pid in pids[:2]:
            os.kill(pid, signal.SIGKILL)
        server.gate.set()
        news = [ended.get(timeout=60) for _ in range(TASKS)]
        by_id = {each.message_id: each for each in news}  # the outbox may tell a thing twice
        while len(by_id) < TASKS:
            late = ended.get(timeout=60)
            by_id[late.message_id] = late
        assert Counter(each.event_type for each in by_id.values()) == {"task.success": TASKS}
        assert {each.payload["image_id"] for each in by_id.values()} == images
        assert ended.empty()
    listed = catalog.json("GET", "/v2/images?limit=1000&status=active")["images"]
    assert {each["id"] for each in listed} == images
    assert {each["size"] for each in listed} == {len(DATA)}
    tasks = catalog.json("GET", "/v2/tasks?limit=1000")["tasks"]
    assert Counter(each["status"] for each in tasks) == {"success": TASKS}
    assert crew.interrupt() == 0, "".join(crew.output)
    assert "Traceback" not in "".join(crew.output)


def test_workers_end_with_their_crew_whatever_ends_it(config: Path, processes: ExitStack) -> None:
    assert KilostackProcess(["db", "upgrade", "--config", str(config)]).wait() == 0
    crew = start(processes, "catalog-worker", "--config", str(config), "--workers", "2")
    for _ in range(2):
        crew.wait_for("is ready")
    crew.kill()  # waits for the end of its output, which its processes write to as well
    assert crew.wait() == -signal.SIGKILL
