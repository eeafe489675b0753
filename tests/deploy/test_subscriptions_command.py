"""`kilostack subscriptions` against a running stack whose subscriber is not there, and then is."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from kilo_deploy.accounts import sign_in
from kilo_deploy.cli import main
from kilo_deploy.client import ApiClient
from kilo_deploy.testing import StackProcess
from support.sinks import web_sink

Run = Callable[..., Result]
NEVER_AGAIN = {
    "retries_with_no_delay": 0,
    "minimum_delay_retries": 0,
    "minimum_delay": 60,
    "maximum_delay": 60,
    "maximum_delay_retries": 0,
}


@pytest.fixture
def stack(state_dir: Path) -> Iterator[StackProcess]:
    process = StackProcess(
        state_dir, environ={"KILO_MESSAGING__DELIVERIES__FETCH__ALLOW_LOOPBACK": "true"}
    )
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
def run(state_dir: Path) -> Run:
    def run(*arguments: str) -> Result:
        folder = ["--state-dir", str(state_dir)]
        return CliRunner().invoke(main, ["subscriptions", *arguments, *folder])

    return run


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what happens in another process."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_failure_is_shown_and_what_failed_is_delivered_once_it_can_be(
    stack: StackProcess, run: Run
) -> None:
    info = stack.wait_ready()
    headers = sign_in(info, info.project, {}) | {"Client-ID": str(uuid4())}
    service = ApiClient(info.messaging_url, headers)
    with web_sink() as sink:
        sink.answer = lambda _request: (503, {}, b"not today")
        made = service.json(
            "POST",
            "/v2/topics/t/subscriptions",
            {"subscriber": sink.url, "ttl": 600, "options": {"_retry_policy": NEVER_AGAIN}},
        )
        one = made["subscription_id"]
        service.json("POST", "/v2/topics/t/messages", {"messages": [{"body": 1, "ttl": 600}]})

        until(lambda: "not today" in run("attempts", "t", one).output)
        (listed,) = map(json.loads, run("list", "t", "--json").output.splitlines())
        assert (listed["id"], listed["state"]) == (one, "failing")
        assert one in run("list", "t").output
        (attempt,) = map(json.loads, run("attempts", "t", one, "--json").output.splitlines())
        assert (attempt["status"], attempt["result"]) == (503, "failed")

        sink.answer = lambda _request: (204, {}, b"")
        assert "1 deliveries" in run("redeliver", "t", one, str(attempt["delivery"])).output
        until(lambda: len(sink.requests) == 2)

        assert run("pause", "t", one).exit_code == 0
        assert "paused" in run("list", "t").output
        assert run("resume", "t", one).exit_code == 0
    refused = run("redeliver", "t", "no-such-one")
    assert refused.exit_code == 2
    assert "no such subscription" in refused.output


def test_without_a_stack_it_says_how_to_get_one(run: Run) -> None:
    done = run("list", "t")
    assert done.exit_code == 2
    assert "kilostack up" in done.output
