"""`kilostack up` as a user meets it: start, stop, start again, and what it says when it cannot."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from kilo_deploy.accounts import sign_in
from kilo_deploy.cli import main
from kilo_deploy.client import ApiClient
from kilo_deploy.state import find_running
from kilo_deploy.testing import FREE_PORTS, KilostackProcess, StackProcess


def kilostack(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kilo_deploy.entry", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_where_things_are_and_what_to_type(stack: StackProcess) -> None:
    text = "".join(stack.output)
    info = find_running(stack.state_dir)
    assert info is not None
    for part in (info.catalog_url, info.messaging_url, info.websocket_url, info.identity_url):
        assert part in text
    for cloud in ("kilostack-admin", "kilostack-demo", "kilostack-alt"):
        assert cloud in text
    for part in ("openstack image create", "message post", "topics watch", "kilostack docs"):
        assert part in text
    assert re.search(r"ready after \d+\.\d\d s", text)
    assert (stack.state_dir / "clouds.yaml").exists()
    assert stack.state_dir.stat().st_mode & 0o077 == 0


def test_ctrl_c_stops_it_cleanly_and_a_second_start_finds_the_data(state_dir: Path) -> None:
    image_id = ""
    for turn in range(2):
        stack = StackProcess(state_dir)
        try:
            info = stack.wait_ready()
            identity = sign_in(info, info.project, {})
            catalog = ApiClient(info.catalog_url, identity)
            messaging = ApiClient(info.messaging_url, identity | {"Client-ID": "0" * 32})
            if turn == 0:
                image_id = catalog.json("POST", "/v2/images", {"name": "kept"})["id"]
                body = {"messages": [{"body": "kept", "ttl": 300}]}
                messaging.json("POST", "/v2/topics/kept/messages", body)
            else:
                assert catalog.json("GET", f"/v2/images/{image_id}")["name"] == "kept"
                listed = messaging.json("GET", "/v2/topics/kept/messages?echo=true")
                assert [each["body"] for each in listed["messages"]] == ["kept"]
            assert stack.interrupt() == 0
        finally:
            stack.kill()
    assert find_running(state_dir) is None
    assert "Traceback" not in "".join(stack.output)


def test_without_identity_everybody_is_let_in(state_dir: Path) -> None:
    stack = StackProcess(state_dir, ["--auth", "none"])
    try:
        info = stack.wait_ready()
        assert "auth_type: none" in "".join(stack.output)
        assert (info.identity_url, info.accounts) == ("", ())
        catalog = ApiClient(info.catalog_url, {"X-Project-Id": "anybody"})
        assert catalog.json("POST", "/v2/images", {})["owner"] == "anybody"
        assert kilostack("demo", "--state-dir", str(state_dir)).returncode == 0
    finally:
        stack.kill()


def test_ephemeral_state_is_gone_afterwards() -> None:
    stack = KilostackProcess(["up", "--ephemeral"], FREE_PORTS)
    try:
        line = stack.wait_for("clouds.yaml")
        folder = Path(line.split()[0]).parent
        stack.wait_for("Ctrl-C stops it")
        assert folder.is_dir()
        assert stack.interrupt() == 0
    finally:
        stack.kill()
    assert not folder.exists()


def test_a_taken_port_gets_one_clear_sentence(state_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = StackProcess(state_dir, environ={"KILO_CATALOG__HTTP__PORT": str(port)})
        assert stack.wait() == 2
    text = "".join(stack.output)
    assert f"Port {port} on 127.0.0.1" in text
    assert "--port-offset" in text
    assert len(text.strip().splitlines()) == 1


def test_a_state_folder_that_cannot_be_written_gets_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = kilostack("up", "--state-dir", str(tmp_path / "file" / "state"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "--ephemeral" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_stack_on_the_same_folder_is_refused(stack: StackProcess) -> None:
    second = StackProcess(stack.state_dir)
    assert second.wait() == 2
    assert f"process {stack.pid}" in "".join(second.output)


def test_a_configuration_mistake_is_named_and_nothing_starts(tmp_path: Path) -> None:
    file = tmp_path / "kilo.toml"
    file.write_text("[catalog.http]\nprot = 1\n")
    done = kilostack("up", "--ephemeral", "--config", str(file))
    assert done.returncode == 2
    assert f"{file}: catalog.http.prot" in done.stderr
    assert "port" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--auth", "none"]])
def test_an_address_that_others_reach_is_refused_with_known_passwords_and_without_any(
    tmp_path: Path, arguments: list[str]
) -> None:
    file = tmp_path / "kilo.toml"
    file.write_text('[catalog.http]\nhost = "0.0.0.0"\n')
    done = kilostack("up", "--ephemeral", *arguments, "--config", str(file))
    assert done.returncode == 2
    assert "auth.allow_insecure_bind" in done.stderr


def test_port_offset_moves_every_port(state_dir: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base = probe.getsockname()[1]
    ports = {
        "KILO_CATALOG__HTTP__PORT": str(base - 100),
        "KILO_MESSAGING__HTTP__PORT": "0",
        "KILO_MESSAGING__WEBSOCKET_PORT": "0",
        "KILO_AUTH__DEV__HTTP__PORT": "0",
    }
    stack = StackProcess(state_dir, ["--port-offset", "100"], ports)
    try:
        assert stack.wait_ready().catalog_url == f"http://127.0.0.1:{base}"
    finally:
        stack.kill()


def test_the_sample_configuration_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "sample.toml"
    file.write_text(kilostack("config", "sample").stdout)
    done = kilostack("config", "check", "--config", str(file))
    assert (done.returncode, done.stderr) == (0, "")


def test_db_upgrade_can_be_repeated(tmp_path: Path) -> None:
    first = kilostack("db", "upgrade", "--state-dir", str(tmp_path / "s"))
    assert first.stdout.count("upgraded to revision") == 2, first.stderr
    second = kilostack("db", "upgrade", "--state-dir", str(tmp_path / "s"))
    assert second.stdout.count("is already at revision") == 2


def test_the_demo_shows_the_event_of_its_own_upload() -> None:
    done = kilostack("demo", "--state-dir", "/nonexistent")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "image.activate" in done.stdout
    assert "image.delete" in done.stdout
    assert "1 message left" in done.stdout


def test_the_demo_uses_the_stack_that_runs(stack: StackProcess) -> None:
    done = kilostack("demo", "--state-dir", str(stack.state_dir))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Using the stack that runs" in done.stdout


def test_watch_prints_what_is_posted(stack: StackProcess) -> None:
    info = find_running(stack.state_dir)
    assert info is not None
    watch = KilostackProcess(["topics", "watch", "news", "--state-dir", str(stack.state_dir)])
    try:
        watch.wait_for("Watching news")
        request = Request(
            f"{info.messaging_url}/v2/topics/news/messages",
            data=json.dumps({"messages": [{"body": {"breaking": 1}, "ttl": 300}]}).encode(),
            headers={
                **sign_in(info, info.project, {}),
                "Client-ID": "0" * 32,
                "Content-Type": "application/json",
            },
        )
        urlopen(request).close()
        assert '{"breaking": 1}' in watch.wait_for("breaking")
    finally:
        watch.kill()


def test_topics_and_pools_are_looked_after_by_commands(stack: StackProcess, tmp_path: Path) -> None:
    info = find_running(stack.state_dir)
    assert info is not None
    headers = {**sign_in(info, info.project, {}), "Client-ID": "0" * 32}
    client = ApiClient(info.messaging_url, headers)
    client.json("POST", "/v2/topics/work/messages", {"messages": [{"body": 1}, {"body": 2}]})

    def run(*arguments: str) -> str:
        return CliRunner().invoke(main, [*arguments, "--state-dir", str(stack.state_dir)]).output

    east = f"sqlite:///{tmp_path}/east.db"
    assert run("pools", "add", "east", east, "--weight", "0") == "Pool east is ready.\n"
    assert json.loads(run("pools", "list", "--json"))["reachable"] is True
    assert run("topics", "where", "work") == "main\n"
    done = run("topics", "move", "work", "east")
    assert done == "Moved work to pool east: 2 messages, 0 subscriptions, 0 deliveries.\n"
    assert run("topics", "where", "work") == "east\n"
    found = client.json("GET", "/v2/topics/work/messages?echo=true")["messages"]
    assert [each["body"] for each in found] == [1, 2]
    assert run("topics", "move", "work", "east") == "work lies on pool east already.\n"
    assert "There is no pool west" in run("topics", "move", "work", "west")
    figures = {"name": "work", "free": 2, "claimed": 0, "total": 2}
    assert json.loads(run("topics", "list", "--json")) == figures
    assert "move or delete them first" in run("pools", "remove", "east")
    assert run("topics", "redrive", "work") == "0 messages went back.\n"
    run("topics", "purge", "work", "--yes")
    assert json.loads(run("topics", "stats", "work"))["total"] == 0


def test_watch_without_a_stack_says_how_to_start_one() -> None:
    done = kilostack("topics", "watch", "x", "--url", "ws://127.0.0.1:1")
    assert done.returncode == 2
    assert "kilostack up" in done.stderr


@pytest.mark.parametrize("role", ["catalog-api", "catalog-worker", "messaging"])
def test_separate_processes_need_a_broker(role: str, tmp_path: Path) -> None:
    done = kilostack("serve", role, "--state-dir", str(tmp_path))
    assert done.returncode == 2
    assert "bus.url" in done.stderr
    assert "rabbit://" in done.stderr
