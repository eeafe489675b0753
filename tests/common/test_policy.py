"""The policy engine: oslo.policy's syntax, and refusal of what it cannot read."""

from pathlib import Path

import pytest

from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid
from kilo_common.policy import Policy, PolicyForbids, load_overrides

ADMIN = RequestContext(project_id="p0", roles=("admin",))
MEMBER = RequestContext(project_id="p1", user_id="u1", roles=("member", "reader"))


@pytest.mark.parametrize(
    ("rule", "target", "allowed"),
    [
        ("", {}, True),
        ("@", {}, True),
        ("!", {}, False),
        ("role:member", {}, True),
        ("role:Member", {}, True),
        ("role:admin", {}, False),
        ("not role:admin", {}, True),
        ("role:member and project_id:%(owner)s", {"owner": "p1"}, True),
        ("role:member and project_id:%(owner)s", {"owner": "p2"}, False),
        ("project_id:%(owner)s", {}, False),
        ("project_id:%(owner)s", {"owner": None}, False),
        ("role:admin or (role:reader and 'public':%(visibility)s)", {"visibility": "public"}, True),
        ("role:admin or (role:reader and 'public':%(visibility)s)", {"visibility": "x"}, False),
        ("role:admin or role:reader and not role:member", {}, False),
        ("user_id:u1", {}, True),
        ("rule:base", {}, True),
    ],
)
def test_rules_are_read_as_oslo_policy_reads_them(
    rule: str, target: dict[str, object], allowed: bool
) -> None:
    policy = Policy({"base": "role:reader", "this": rule})
    assert policy.allows(MEMBER, "this", target) is allowed


def test_enforce_says_which_action_is_refused() -> None:
    policy = Policy({"get_image": "role:admin"})
    policy.enforce(ADMIN, "get_image", {})
    with pytest.raises(PolicyForbids, match="get_image"):
        policy.enforce(MEMBER, "get_image", {})


@pytest.mark.parametrize(
    "rule",
    ["role:", "role", "(role:a", "role:a)", "role:a or", "and", "rule:unknown", "rule:this", "%"],
)
def test_a_rule_that_cannot_be_read_stops_the_start(rule: str) -> None:
    with pytest.raises(ConfigInvalid, match="this"):
        Policy({"this": rule})


def test_an_override_replaces_a_default_also_where_another_rule_refers_to_it() -> None:
    policy = Policy({"base": "!", "get": "rule:base"}, {"base": "@"})
    assert policy.allows(MEMBER, "get", {})


def test_an_override_of_no_known_rule_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="gett"):
        Policy({"get": "@"}, {"gett": "!"})


def test_overrides_come_from_a_yaml_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('get_image: "role:admin"\n')
    assert load_overrides(file) == {"get_image": "role:admin"}
    file.write_text("- 1\n")
    with pytest.raises(ConfigInvalid, match="map rule names"):
        load_overrides(file)
