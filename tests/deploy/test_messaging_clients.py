"""python-zaqarclient and `openstack messaging`, unmodified, against a running stack."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from kilo_deploy.testing import StackProcess
from support.clients import Clients

pytestmark = pytest.mark.clients

ZAQAR = """
import sys
from zaqarclient.queues import client
conf = {"auth_opts": {"backend": "noauth", "options": {"os_project_id": "zaqar-project"}}}
zaqar = client.Client(sys.argv[1], version=2, conf=conf)
queue = zaqar.queue(sys.argv[2])
queue.post([{"body": {"job": number}, "ttl": 300} for number in range(5)])
bodies = [message.body for message in queue.messages(echo=True)]
assert bodies == [{"job": number} for number in range(5)], bodies
claim = queue.claim(ttl=60, grace=60, limit=2)
claimed = list(claim)
assert [message.body["job"] for message in claimed] == [0, 1]
other = [message.body["job"] for message in queue.claim(ttl=60, grace=60, limit=10)]
assert other == [2, 3, 4], other
for message in claimed:
    message.delete()
stats = queue.stats["messages"]
assert (stats["claimed"], stats["free"], stats["total"]) == (3, 0, 3), stats
queue.metadata(new_meta={"color": "blue"})
assert queue.metadata(force_reload=True)["color"] == "blue"
queues, _count = zaqar.queues()
assert sys.argv[2] in [each.name for each in queues]
queue.post({"body": "pop me", "ttl": 300})
assert [each.body for each in queue.pop(count=1)] == ["pop me"]
queue.delete()
print("good")
"""


def test_zaqarclient_posts_lists_claims_and_deletes_without_identity(
    clients: Clients, state_dir: Path
) -> None:
    name = f"jobs-{uuid4().hex[:8]}"
    stack = StackProcess(state_dir, ["--auth", "none"])
    try:
        url = stack.wait_ready().messaging_url
        assert clients.python(ZAQAR, url, name).strip() == "good"
    finally:
        stack.kill()


def test_openstack_messaging_posts_lists_claims_and_deletes(clients: Clients) -> None:
    name = f"osc-{uuid4().hex[:8]}"
    clients.openstack("messaging", "queue", "create", name)
    listed = json.loads(clients.openstack("messaging", "queue", "list", "-f", "json"))
    assert name in [each["Name"] for each in listed]
    body = '[{"body": "hello", "ttl": 300}, {"body": {"a": 1}, "ttl": 300}]'
    clients.openstack("messaging", "message", "post", name, body)
    messages = json.loads(
        clients.openstack("messaging", "message", "list", name, "--echo", "-f", "json")
    )
    assert len(messages) == 2
    stats = json.loads(clients.openstack("messaging", "queue", "stats", name, "-f", "json"))
    assert stats["Stats"]["messages"]["total"] == 2
    claimed = json.loads(
        clients.openstack("messaging", "claim", "create", name, "--ttl", "60", "-f", "json")
    )
    assert len(claimed) == 2
    clients.openstack("messaging", "claim", "release", name, claimed[0]["Claim_ID"])
    clients.openstack("messaging", "queue", "set", "metadata", name, '{"color": "red"}')
    assert "red" in clients.openstack("messaging", "queue", "get", "metadata", name)
    clients.openstack("messaging", "queue", "delete", name)
    left = json.loads(clients.openstack("messaging", "queue", "list", "-f", "json"))
    assert name not in [each["Name"] for each in left]


def test_the_banner_command_for_posting_works(clients: Clients) -> None:
    clients.openstack("messaging", "message", "post", "hello", '[{"body": "world", "ttl": 300}]')
    assert "world" in clients.openstack("messaging", "message", "list", "hello", "--echo")
