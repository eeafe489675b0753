"""The scripts, each put together out of what it shares with others and its own part."""

import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass

_HANDS_OUT = frozenset({"claim", "pop"})
_DELIVERS = frozenset(
    {
        "post",
        "deliveries_claim",
        "deliveries_forget",
        "deliveries_page",
        "deliveries_put",
        "deliveries_redeliver",
        "deliveries_settle",
        "deliveries_sweep",
        "log_page",
        "subscription_create",
        "subscription_update",
    }
)
_ALONE = frozenset({"plan", "replan", "swap"})
_READS = frozenset({"get", "claim_get", "deliveries_page", "log_page"})
_GROWS = frozenset(
    {
        *("post", "arrive", "topic_create", "topic_update"),
        *("subscription_create", "subscription_update", "put", "deliveries_put"),
    }
)
NAMES = (
    "arrive",
    "claim",
    "claim_get",
    "claim_release",
    "claim_update",
    "delete",
    "delete_many",
    "deliveries_claim",
    "deliveries_forget",
    "deliveries_page",
    "deliveries_put",
    "deliveries_redeliver",
    "deliveries_settle",
    "deliveries_sweep",
    "get",
    "log_page",
    "page",
    "plan",
    "pop",
    "post",
    "purge",
    "put",
    "redrive",
    "replan",
    "stats",
    "subscription_create",
    "subscription_update",
    "swap",
    "sweep",
    "topic_create",
    "topic_delete",
    "topic_update",
)


@dataclass(frozen=True)
class Script:
    """A script, and the name that Redis gives to what it knows already."""

    name: str
    source: bytes
    sha: str

    @property
    def reads_only(self) -> bool:
        """Whether it changes nothing at all."""
        return self.name in _READS


def load_scripts() -> Mapping[str, Script]:
    """All scripts by their names."""
    return {name: _load(name) for name in NAMES}


def _load(name: str) -> Script:
    shared = [] if name in _ALONE else ["common"]
    if name in _HANDS_OUT:
        shared.append("hand_out")
    if name in _DELIVERS:
        shared.append("deliveries")
    parts = [*shared, name]
    source = "\n".join([_first_line(name), *(_read(part) for part in parts)]).encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


def _first_line(name: str) -> str:
    """With it, Redis refuses a script as a whole where memory is short, and never halfway.

    What only makes room, or leads to it, runs even then.
    """
    if name in _READS:
        return "#!lua flags=no-writes"
    return "#!lua" if name in _GROWS else "#!lua flags=allow-oom"


def _read(part: str) -> str:
    folder = importlib.resources.files("kilo_messaging.storage.redis") / "lua"
    return (folder / f"{part}.lua").read_text()
