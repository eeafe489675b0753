"""Properties that not everybody may see, give, change or take away."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog_story import V20, V21, Catalog
from kilo_catalog.config import CatalogSettings
from kilo_catalog.domain.protection import PropertyProtection
from kilo_catalog.tasks.outbox_relay import OutboxRelay
from kilo_common.bus.envelope import Notification, unwrap
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Delivery
from kilo_common.config import load
from kilo_common.errors import ConfigInvalid

RFC6902 = "application/json-patch+json"
PROTECTIONS = (
    PropertyProtection(name="^secret", create=("admin",), read=("admin", "billing"),
                       update=("billing",), delete=("admin",)),
    PropertyProtection(name="^note$", create=("@",), read=("@",), update=("!",), delete=()),
    PropertyProtection(name="^mine_", create="rule:admin_or_owner", read="rule:admin_or_owner",
                       update="rule:owner", delete="rule:owner and role:admin"),
    PropertyProtection(name="^open", create=("@",), read=("@",), update=("@",), delete=("@",)),
)  # fmt: skip


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog]) -> Catalog:
    return open_catalog(property_protections=PROTECTIONS)


@pytest.fixture
def admin(catalog: Catalog) -> Catalog:
    return catalog.as_("p1", "admin,member")


def patch(caller: Catalog, image_id: str, op: str, name: str, value: Any = "v") -> int:
    step = {"op": op, "path": f"/{name}"} | ({} if op == "remove" else {"value": value})
    return caller.patch(image_id, [step]).status_code


def test_what_one_may_not_see_is_shown_nowhere(catalog: Catalog, admin: Catalog) -> None:
    made = admin.create(name="x", secret_price="5", open="o", visibility="public")
    assert made["secret_price"] == "5"
    shown = catalog.show(made["id"])
    assert shown["open"] == "o"
    assert "secret_price" not in shown
    for caller, seen in ((catalog, False), (catalog.as_("p2", "billing,reader"), True)):
        listed = caller.request("GET", "/v2/images?name=x").get_json()["images"]
        assert ["secret_price" in each for each in listed] == [seen]
        found = caller.request("GET", "/v2/images?secret_price=5").get_json()["images"]
        assert len(found) == seen
    answer = catalog.patch(made["id"], [{"op": "add", "path": "/open2", "value": "y"}])
    assert "secret_price" not in answer.get_json()
    assert admin.show(made["id"])["secret_price"] == "5"


def test_only_some_may_create(catalog: Catalog, admin: Catalog) -> None:
    refused = catalog.request("POST", "/v2/images", json={"secret": "s"})
    assert refused.status_code == 403
    assert refused.get_json()["error"]["code"] == "catalog.property.protected"
    image_id = catalog.create(open="o")["id"]
    assert patch(catalog, image_id, "add", "secret") == 403
    assert patch(admin, image_id, "add", "secret") == 200


def test_only_some_may_change(catalog: Catalog, admin: Catalog) -> None:
    image_id = admin.create(secret="s", note="n", open="o")["id"]
    billing = catalog.as_("p1", "billing,member")
    assert patch(billing, image_id, "replace", "secret", "t") == 200
    assert patch(admin, image_id, "replace", "secret", "u") == 403
    assert patch(admin, image_id, "replace", "secret", "t") == 200  # what it is already
    for caller in (catalog, admin, billing):
        assert patch(caller, image_id, "replace", "note", "other") == 403
        assert patch(caller, image_id, "replace", "open", "other") == 200
    assert admin.show(image_id)["secret"] == "t"


def test_only_some_may_take_away(catalog: Catalog, admin: Catalog) -> None:
    image_id = admin.create(secret="s", note="n", open="o")["id"]
    billing = catalog.as_("p1", "billing,member")
    assert patch(billing, image_id, "remove", "secret") == 403
    assert patch(admin, image_id, "remove", "note") == 403
    assert patch(admin, image_id, "remove", "secret") == 200
    assert patch(catalog, image_id, "remove", "open") == 200
    assert [name for name in admin.show(image_id) if name in ("secret", "note", "open")] == ["note"]


def test_what_one_does_not_see_is_as_if_it_were_not_there(catalog: Catalog, admin: Catalog) -> None:
    image_id = admin.create(secret="s")["id"]
    for op in ("replace", "remove"):
        assert patch(catalog, image_id, op, "secret") == 409
    assert patch(catalog, image_id, "add", "secret", "s") == 403
    guess = [{"op": "test", "path": "/secret", "value": "s"}]
    assert catalog.patch(image_id, guess, RFC6902).status_code == 409
    copy = [{"op": "copy", "from": "/secret", "path": "/open"}]
    assert catalog.patch(image_id, copy, RFC6902).status_code == 409
    assert catalog.patch(image_id, [{"add": "/secret", "value": "s"}], V20).status_code == 403
    assert admin.show(image_id)["secret"] == "s"


def test_a_rule_of_the_policy_asks_about_the_image(catalog: Catalog) -> None:
    image_id = catalog.create(mine_x="1", visibility="community")["id"]
    other = catalog.as_("p2")
    assert "mine_x" not in other.show(image_id)
    assert catalog.show(image_id)["mine_x"] == "1"
    assert patch(catalog, image_id, "replace", "mine_x", "2") == 200
    assert patch(catalog, image_id, "remove", "mine_x") == 403
    # Whose image it is, a filter cannot know beforehand: such a property is no filter.
    assert catalog.request("GET", "/v2/images?mine_x=2").get_json()["images"] == []


def test_what_no_protection_finds_is_nobodys(catalog: Catalog, admin: Catalog) -> None:
    assert admin.request("POST", "/v2/images", json={"stray": "s"}).status_code == 403


def test_hidden_properties_count(open_catalog: Callable[..., Catalog], admin: Catalog) -> None:
    image_id = admin.create(**{f"secret{number}": "s" for number in range(127)})["id"]
    member = admin.as_("p1", "member")
    steps = [{"op": "add", "path": f"/open{number}", "value": "o"} for number in range(2)]
    assert member.patch(image_id, steps, V21).status_code == 413
    assert member.patch(image_id, steps[:1], V21).status_code == 200


def test_events_tell_no_more_than_members_may_see(catalog: Catalog, admin: Catalog) -> None:
    heard: list[Notification] = []

    def hear(delivery: Delivery) -> None:
        heard.append(Notification.from_message(unwrap(delivery.body)))
        delivery.ack()

    catalog.transport.consume(Target("notifications.info").topic_address, hear)
    admin.create(secret="s", open="o")
    (relay,) = (each for each in catalog.api.services if isinstance(each, OutboxRelay))
    relay.start()
    relay.stop(5.0)
    assert [each.payload.get("open") for each in heard] == ["o"]
    assert "secret" not in heard[0].payload


def test_protections_come_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(
        '[[property_protections]]\nname = "^x"\nread = ["@"]\ncreate = "rule:admin"\n'
        '[[property_protections]]\nname = "."\nread = ["@"]\n'
    )
    assert load(CatalogSettings, file=file).property_protections == (
        PropertyProtection(name="^x", read=("@",), create="rule:admin"),
        PropertyProtection(name=".", read=("@",)),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        PropertyProtection(name="("),
        PropertyProtection(name="x", read="rule:nothing"),
        PropertyProtection(name="x", read=("a b",)),
    ],
)
def test_a_protection_that_cannot_be_stops_the_start(
    open_catalog: Callable[..., Catalog], wrong: PropertyProtection
) -> None:
    with pytest.raises(ConfigInvalid):
        open_catalog(property_protections=(wrong,))
