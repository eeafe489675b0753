"""python-zaqarclient and `openstack messaging`, unmodified, against a running stack."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from kilo_deploy.testing import StackProcess
from support.clients import Clients

pytestmark = pytest.mark.clients

JSON = ("-f", "json")
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


def test_openstack_messaging_claims_are_queried_renewed_and_released(clients: Clients) -> None:
    name = f"claims-{uuid4().hex[:8]}"
    _posted, printed = clients.openstack_each(
        ["messaging", "message", "post", name, '[{"body": "hello", "ttl": 300}]'],
        ["messaging", "claim", "create", name, "--ttl", "60", "--grace", "60", *JSON],
    )
    (claimed,) = json.loads(printed)
    claim = claimed["Claim_ID"]
    queried, renewed, _released, _purged, stats, signed = clients.openstack_each(
        ["messaging", "claim", "query", name, claim, *JSON],
        ["messaging", "claim", "renew", name, claim, "--ttl", "90", *JSON],
        ["messaging", "claim", "release", name, claim],
        ["messaging", "queue", "purge", name, "--resource_types", "messages"],
        ["messaging", "queue", "stats", name, *JSON],
        ["messaging", "queue", "signed", "url", name, *JSON],
    )
    for found in (queried, renewed):
        assert [each["Message"] for each in json.loads(found)] == ["hello"]
    assert json.loads(stats)["Stats"]["messages"]["total"] == 0
    assert json.loads(signed)["Signature"]


def test_openstack_messaging_subscriptions(clients: Clients) -> None:
    name = f"news-{uuid4().hex[:8]}"
    created, listed = clients.openstack_each(
        ["messaging", "subscription", "create", name, "http://hook.example/", "3600", *JSON],
        ["messaging", "subscription", "list", name, *JSON],
    )
    made = json.loads(created)["ID"]
    assert [each["ID"] for each in json.loads(listed)] == [made]
    _updated, shown, _deleted, left = clients.openstack_each(
        ["messaging", "subscription", "update", name, made, "--ttl", "7200"],
        ["messaging", "subscription", "show", name, made, *JSON],
        ["messaging", "subscription", "delete", name, made],
        ["messaging", "subscription", "list", name, *JSON],
    )
    found = json.loads(shown)
    assert (found["Subscriber"], found["TTL"]) == ("http://hook.example/", 7200)
    assert json.loads(left) == []


def test_openstack_messaging_pools_and_flavors(clients: Clients, tmp_path: Path) -> None:
    pool, flavor = f"pool-{uuid4().hex[:8]}", f"flavor-{uuid4().hex[:8]}"
    uri = f"sqlite:///{tmp_path}/pool.db"
    made, shown, listed, _changed, _created, about, flavors, *_rest = clients.openstack_each(
        # Of no weight, so that the other tests' topics lie elsewhere.
        ["messaging", "pool", "create", pool, uri, "0", *JSON],
        ["messaging", "pool", "show", pool, *JSON],
        ["messaging", "pool", "list", *JSON],
        ["messaging", "pool", "update", pool, "--pool_options", '{"pool_size": 4}'],
        ["messaging", "flavor", "create", flavor, "--pool_list", pool],
        ["messaging", "flavor", "show", flavor, *JSON],
        ["messaging", "flavor", "list", *JSON],
        ["messaging", "flavor", "update", flavor, "--pool_list", "main"],
        ["messaging", "flavor", "delete", flavor],
        ["messaging", "pool", "delete", pool],
    )
    assert json.loads(made)["Name"] == pool
    assert json.loads(shown)["URI"] == uri
    assert pool in [each["Name"] for each in json.loads(listed)]
    assert pool in about
    assert flavor in [each["Name"] for each in json.loads(flavors)]


def test_openstack_messaging_says_how_the_service_is(clients: Clients) -> None:
    pinged, health, home = clients.openstack_each(
        ["messaging", "ping"], ["messaging", "health"], ["messaging", "homedoc"]
    )
    assert "True" in pinged
    assert "storage_reachable" in health
    assert "rel/queues" in home


def test_the_banner_command_for_posting_works(clients: Clients) -> None:
    clients.openstack("messaging", "message", "post", "hello", '[{"body": "world", "ttl": 300}]')
    assert "world" in clients.openstack("messaging", "message", "list", "hello", "--echo")
