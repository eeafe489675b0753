"""Which action a method on a path is."""

from collections.abc import Mapping

import msgspec

from kilo_messaging.errors import MethodRefused, PathNotFound

VERSION = "v2"
COLLECTIONS = frozenset({"queues", "topics"})
Methods = Mapping[str, str]

_COLLECTION: Methods = {"GET": "queue_list"}
_TOPIC: Methods = {
    "PUT": "queue_create",
    "GET": "queue_get",
    "PATCH": "queue_update",
    "DELETE": "queue_delete",
}
_UNDER_TOPIC: Mapping[str, Methods] = {
    "stats": {"GET": "queue_get_stats"},
    "purge": {"POST": "queue_purge"},
    "share": {"POST": "queue_share"},
    "redrive": {"POST": "queue_redrive"},
    "placement": {"GET": "topic_placement", "PUT": "topic_move"},
    "messages": {
        "POST": "message_post",
        "GET": "message_list",
        "DELETE": "message_delete_many",
    },
    "claims": {"POST": "claim_create"},
    "subscriptions": {"GET": "subscription_list", "POST": "subscription_create"},
}
_ONE_OF: Mapping[str, tuple[str, Methods]] = {
    "messages": ("message_id", {"GET": "message_get", "DELETE": "message_delete"}),
    "claims": (
        "claim_id",
        {"GET": "claim_get", "PATCH": "claim_update", "DELETE": "claim_delete"},
    ),
    "subscriptions": (
        "subscription_id",
        {
            "GET": "subscription_get",
            "PATCH": "subscription_update",
            "DELETE": "subscription_delete",
        },
    ),
}
_UNDER_SUBSCRIPTION: Mapping[str, Methods] = {
    "confirm": {"PUT": "subscription_confirm"},
    "key": {"POST": "subscription_rotate_key"},
    "attempts": {"GET": "subscription_attempts"},
    "deliveries": {"GET": "subscription_deliveries"},
    "redeliver": {"POST": "subscription_redeliver"},
}
_POOLS: Mapping[str, tuple[str, Methods, Methods]] = {
    plural: (
        f"{singular}_name",
        {"GET": f"{singular}_list"},
        {
            "GET": f"{singular}_get",
            "PUT": f"{singular}_create",
            "PATCH": f"{singular}_update",
            "DELETE": f"{singular}_delete",
        },
    )
    for plural, singular in (("pools", "pool"), ("flavors", "flavor"))
}
_TEST_CLOCK: Methods = {"GET": "test_clock_get", "POST": "test_clock_advance"}
_SERVICE: Mapping[str, Methods] = {
    "ping": {"GET": "ping_node"},
    "health": {"GET": "check_node_health"},
}


class Route(msgspec.Struct, frozen=True):
    """What a path leads to."""

    action: str
    base: str = ""
    """`/v2/queues` or `/v2/topics`."""
    names: dict[str, str] = {}
    """What the path names: `topic_name`, `message_id`, `claim_id`, `subscription_id`."""


def find_route(method: str, path: str) -> Route:
    """The action that `method` on `path` is. HEAD is what GET is.

    Raises:
        PathNotFound: no resource has such a path.
        MethodRefused: the resource has no such method; the answer says which it has.
    """
    parts = path.split("/")
    if len(parts) < 3 or parts[0] or parts[1] != VERSION or "" in parts[2:]:
        raise _not_found(path)
    if len(parts) == 3 and parts[2] in _SERVICE:
        return Route(_choose(_SERVICE[parts[2]], method))
    if parts[2:] == ["_test", "clock"]:
        return Route(_choose(_TEST_CLOCK, method))
    if parts[2] in _POOLS and len(parts) <= 4:
        key, of_all, of_one = _POOLS[parts[2]]
        if len(parts) == 3:
            return Route(_choose(of_all, method))
        return Route(_choose(of_one, method), names={key: parts[3]})
    if parts[2] not in COLLECTIONS:
        raise _not_found(path)
    base = f"/{VERSION}/{parts[2]}"
    return _in_collection(method, base, parts[3:], path)


def _in_collection(method: str, base: str, parts: list[str], path: str) -> Route:
    if not parts:
        return Route(_choose(_COLLECTION, method), base)
    names = {"topic_name": parts[0]}
    if len(parts) == 1:
        return Route(_choose(_TOPIC, method), base, names)
    if len(parts) == 2 and parts[1] in _UNDER_TOPIC:
        return Route(_choose(_UNDER_TOPIC[parts[1]], method), base, names)
    if len(parts) == 3 and parts[1] in _ONE_OF:
        key, methods = _ONE_OF[parts[1]]
        if key == "message_id" and base.endswith("topics"):
            # Topics never had it; it remains for clients of queues.
            methods = {name: action for name, action in methods.items() if name != "GET"}
        return Route(_choose(methods, method), base, names | {key: parts[2]})
    if len(parts) == 4 and parts[1] == "subscriptions" and parts[3] in _UNDER_SUBSCRIPTION:
        methods = _UNDER_SUBSCRIPTION[parts[3]]
        return Route(_choose(methods, method), base, names | {"subscription_id": parts[2]})
    raise _not_found(path)


def _choose(methods: Methods, method: str) -> str:
    action = methods.get("GET" if method == "HEAD" else method)
    if action is None:
        allowed = [*methods, "HEAD"] if "GET" in methods else [*methods]
        raise MethodRefused(
            f"{method} is not possible here; possible: {', '.join(allowed)}",
            headers={"Allow": ", ".join(allowed)},
        )
    return action


def _not_found(path: str) -> PathNotFound:
    return PathNotFound("There is nothing at this path", path=path[:256])
