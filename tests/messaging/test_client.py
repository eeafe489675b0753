"""The Python client against a real server: also one that dies in the middle."""

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from kilo_messaging.client import MessagingClient, RequestRefused, ServiceUnreachable
from support.messaging_server import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("messaging"), idle_limit=30.0) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[MessagingClient]:
    with MessagingClient(f"ws://127.0.0.1:{server.port}", project="demo") as made:
        yield made


def test_what_is_posted_can_be_claimed_and_removed(client: MessagingClient) -> None:
    ids = client.post("work", {"job": 1}, {"job": 2}, ttl=60, attributes={"kind": "a"})
    claim_id, messages = client.claim("work", wait=5)
    assert claim_id
    assert [message["body"] for message in messages] == [{"job": 1}, {"job": 2}]
    assert messages[0]["attributes"] == {"kind": "a"}
    client.delete("work", ids)
    assert client.claim("work") == ("", [])
    assert client.ask("queue_get_stats", queue_name="work")["messages"]["total"] == 0


def test_a_topic_is_followed_from_where_one_was(client: MessagingClient, server: Server) -> None:
    client.post("log", 1, 2, 3)
    with MessagingClient(f"ws://127.0.0.1:{server.port}", project="demo") as follower:
        first, second = islice(follower.follow("log", "start"), 2)
    assert (first.body, second.body, second.topic) == (1, 2, "log")
    client.post("log", 4)
    assert [each.body for each in islice(client.follow("log", second.cursor), 2)] == [3, 4]


def test_a_refusal_says_why(client: MessagingClient) -> None:
    with pytest.raises(RequestRefused, match="ttl") as refused:
        client.post("work", 1, ttl=1)
    assert (refused.value.status, refused.value.reason) == (400, "messaging.limit_exceeded")
    with pytest.raises(RequestRefused):
        next(client.follow("work", "nonsense"))


def test_where_nothing_answers_the_client_gives_up() -> None:
    with (
        MessagingClient("ws://127.0.0.1:1") as client,
        pytest.raises(ServiceUnreachable, match="kilostack up"),
    ):
        client.post("work", 1)


def test_a_service_that_does_not_come_back_is_given_up(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = MessagingClient(f"ws://127.0.0.1:{server.port}", project="demo", attempts=2)
        client.post("log", 1)
    with pytest.raises(ServiceUnreachable):
        next(client.follow("log"))
    client.close()


def test_who_follows_a_silent_topic_can_be_stopped(server: Server) -> None:
    client = MessagingClient(f"ws://127.0.0.1:{server.port}", project="demo")
    client.ask("queue_list")
    found: list[object] = []
    follower = threading.Thread(target=lambda: found.extend(client.follow("silent")))
    follower.start()
    client.close()
    follower.join(10)
    assert not follower.is_alive()
    assert found == []


def test_a_server_that_is_killed_costs_no_message_and_no_duplicate(tmp_path: Path) -> None:
    with serving(tmp_path, port=0) as server:
        port = server.port
        client = MessagingClient(f"ws://127.0.0.1:{port}", project="demo", attempts=20)
        following = client.follow("log", "start")
        server.post("log", 1, 2)
        assert [next(following).body for _ in range(2)] == [1, 2]
        server.post("log", 3)
        server.kill()
    with serving(tmp_path, port=port) as server:
        server.post("log", 4)
        assert [next(following).body for _ in range(2)] == [3, 4]
        # The connection it posts on is the one that was made again.
        client.post("log", 5)
        assert next(following).body == 5
    client.close()
