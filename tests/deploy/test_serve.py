"""The parts as processes of their own, joined by a real RabbitMQ: the same result."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kilo_deploy.client import ApiClient, RequestRefused
from kilo_deploy.testing import KilostackProcess
from kilo_deploy.watch import TopicWatch

pytestmark = pytest.mark.services


@pytest.fixture
def config(tmp_path: Path, rabbit_url: str) -> Path:
    """A deployment of its own: its own exchange on the shared broker, its own databases."""
    name = f"kilo-serve-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "kilo.toml"
    file.write_text(
        f"""
state_dir = "{tmp_path}/state"
[bus]
url = "{rabbit_url}"
exchange = "{name}"
notification_topic = "{name}"
[catalog.http]
port = 0
[messaging]
websocket_port = 0
[messaging.http]
port = 0
[auth]
strategy = "none"
"""
    )
    return file


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(processes: ExitStack, role: str, config: Path, *arguments: str) -> KilostackProcess:
    process = KilostackProcess(["serve", role, "--config", str(config), *arguments])
    processes.callback(process.kill)
    return process


def url_of(process: KilostackProcess) -> str:
    return process.wait_for("is ready at").split(" at ")[1].split()[0]


def walk_the_journey(config: Path, processes: ExitStack) -> None:
    """Upload to one process, and hear of it on a WebSocket of another."""
    upgrade = KilostackProcess(["db", "upgrade", "--config", str(config)])
    assert upgrade.wait() == 0, "".join(upgrade.output)
    messaging = start(processes, "messaging", config)
    messaging_url = url_of(messaging)
    worker = start(processes, "catalog-worker", config)
    worker.wait_for("catalog-worker is ready")
    api = start(processes, "catalog-api", config)
    catalog_url = url_of(api)

    watch = TopicWatch(messaging_url.replace("http", "ws"), "catalog.events", "p1", timeout=30)
    catalog = ApiClient(catalog_url, {"X-Project-Id": "p1"})
    record = {"name": "split", "disk_format": "raw", "container_format": "bare"}
    image = catalog.json("POST", "/v2/images", record)
    catalog.upload(f"/v2/images/{image['id']}/file", [b"x" * 100_000] * 10, 1_000_000)
    for message in watch.messages():
        if message["event_type"] == "image.activate":
            assert message["payload"]["id"] == image["id"]
            break
    assert b"".join(catalog.download(f"/v2/images/{image['id']}/file")) == b"x" * 1_000_000
    watch.close()
    for process in (api, worker, messaging):
        assert process.interrupt() == 0, "".join(process.output)
        assert "Traceback" not in "".join(process.output)


def test_three_processes_and_a_broker_do_what_one_process_does(
    config: Path, processes: ExitStack
) -> None:
    walk_the_journey(config, processes)


def test_the_same_on_a_database_server(
    config: Path, processes: ExitStack, service_url: str
) -> None:
    database = f'[catalog.database]\nurl = "{service_url}"\n'
    config.write_text(config.read_text() + database + database.replace("catalog", "messaging", 1))
    walk_the_journey(config, processes)


def test_events_of_an_api_that_died_before_announcing_them_come_from_the_worker(
    config: Path, processes: ExitStack
) -> None:
    assert KilostackProcess(["db", "upgrade", "--config", str(config)]).wait() == 0
    api = start(processes, "catalog-api", config)
    catalog = ApiClient(url_of(api), {"X-Project-Id": "p1"})
    messaging = start(processes, "messaging", config)
    watch = TopicWatch(url_of(messaging).replace("http", "ws"), "catalog.events", "p1", timeout=30)
    image = catalog.json("POST", "/v2/images", {"name": "orphan"})
    api.kill()
    start(processes, "catalog-worker", config)
    seen = next(message for message in watch.messages() if message["event_type"] == "image.create")
    assert seen["payload"]["id"] == image["id"]
    watch.close()


def test_a_token_of_the_identity_process_is_good_in_the_others_until_it_is_given_back(
    config: Path, processes: ExitStack
) -> None:
    dev = config.read_text().replace('"none"', '"dev"')
    config.write_text(dev + "[auth.dev.http]\nport = 0\n")
    assert KilostackProcess(["db", "upgrade", "--config", str(config)]).wait() == 0
    identity_url = url_of(start(processes, "identity", config))
    catalog_url = url_of(start(processes, "catalog-api", config))
    user = {"name": "alt", "password": "alt", "domain": {"id": "default"}}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"id": "alt"}},
        }
    }
    token = ApiClient(identity_url, {}).post_for_header("/v3/auth/tokens", body, "X-Subject-Token")
    catalog = ApiClient(catalog_url, {"X-Auth-Token": token})
    assert catalog.json("POST", "/v2/images", {"name": "x"})["owner"] == "alt"
    own = {"X-Auth-Token": token, "X-Subject-Token": token}
    ApiClient(identity_url, own).json("DELETE", "/v3/auth/tokens")
    with pytest.raises(RequestRefused, match="401"):
        catalog.json("GET", "/v2/images")


def test_without_the_schema_the_remedy_is_named(config: Path, processes: ExitStack) -> None:
    process = start(processes, "catalog-api", config)
    assert process.wait() == 2
    assert "kilostack db upgrade" in "".join(process.output)


def on_port(config: Path, section: str, port: int) -> None:
    """Give the listener of a section a fixed port, which several processes can share."""
    config.write_text(
        config.read_text().replace(f"{section}\nport = 0", f"{section}\nport = {port}")
    )


def test_several_worker_processes_share_one_port(
    config: Path, processes: ExitStack, unused_port: int
) -> None:
    on_port(config, "[catalog.http]", unused_port)
    assert KilostackProcess(["db", "upgrade", "--config", str(config)]).wait() == 0
    api = start(processes, "catalog-api", config, "--workers", "2")
    api.wait_for("serves")
    api.wait_for("serves")
    catalog = ApiClient(f"http://127.0.0.1:{unused_port}", {})
    ids = {catalog.json("POST", "/v2/images", {"name": f"n{n}"})["id"] for n in range(10)}
    listed = catalog.json("GET", "/v2/images?limit=100")["images"]
    assert ids == {each["id"] for each in listed}
    assert api.interrupt() == 0, "".join(api.output)


def test_a_message_reaches_the_sockets_of_every_worker_process(
    config: Path, processes: ExitStack, unused_port: int
) -> None:
    on_port(config, "[messaging.http]", unused_port)
    assert KilostackProcess(["db", "upgrade", "--config", str(config)]).wait() == 0
    messaging = start(processes, "messaging", config, "--workers", "2")
    messaging.wait_for("serves")
    messaging.wait_for("serves")
    address = f"127.0.0.1:{unused_port}"
    watches = [TopicWatch(f"ws://{address}", "news", "p1", timeout=30) for _ in range(8)]
    client = ApiClient(f"http://{address}", {"X-Project-Id": "p1", "Client-ID": uuid.uuid4().hex})
    client.json("POST", "/v2/topics/news/messages", {"messages": [{"body": "all", "ttl": 300}]})
    for watch in watches:
        assert next(watch.messages()) == "all"
        watch.close()
    assert messaging.interrupt() == 0, "".join(messaging.output)
