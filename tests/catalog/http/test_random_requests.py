"""Requests at random, most of them wrong: none is answered 5xx.

KILO_REQUESTS sets how many; the default is short.
"""

import json
import os
import random
from collections.abc import Callable
from typing import Any

from catalog_story import DATA, V20, V21, Catalog

COUNT = int(os.environ.get("KILO_REQUESTS", "600"))
ATTRIBUTES = (
    "id", "name", "owner", "visibility", "protected", "os_hidden", "disk_format", "min_ram",
    "container_format", "min_disk", "tags", "status", "size", "checksum", "locations", "self",
    "os_glance_x", "created_at", "os_distro", "stores", "direct_url", "",
)  # fmt: skip
QUERY = (
    "limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "os_hidden",
    "tag", "name", "size_min", "size_max", "created_at", "updated_at", "id", "status", "prefer",
    "min_ram", "virtual_size", "type", "resource_types", "resource_type", "usage", "x", "protected",
)  # fmt: skip
HEADERS = (
    "If-Match", "If-None-Match", "Range", "Content-Range", "x-image-meta-store", "Content-MD5",
    "x-openstack-image-size", "X-Auth-Token", "X-Roles", "Accept", "X-OpenStack-Append", "Origin",
    "X-OpenStack-Request-ID", "traceparent", "Transfer-Encoding", "x-image-cache-clear-target",
)  # fmt: skip
TYPES = ("application/json", V21, V20, "application/json-patch+json", DATA, "text/plain", "")
TEXTS = (
    "", "a", "raw", "qcow2", "bare", "public", "all", "shared", "accepted", "main", "second",
    "nope", "in:a,b", 'in:"a,b",c', 'in:"', "gt:2020-01-01T00:00:00Z", "lte:now", "neq:1", "0",
    "1", "-1", "9" * 30, "1e9", "true", "None", "bytes=0-1", "bytes=-", "*", '"1"', 'W/"1", "2"',
    "bytes 0-1/2", "\0", "\ud7ff\U0001f40d", "\u00e9" * 300, "../..", "%", "%2f", "a/b", "/name",
    "/tags/-", "/~0~1", "~2", "web-download", "glance-direct", "http://127.0.0.1/x",
    "id:asc,name:desc", "sort:up", "x" * 70_000, "00000000-0000-0000-0000-000000000000", "-0",
    "\uff11\uff12", "NaN", "9223372036854775808", "image", "[]",
)  # fmt: skip


class Dice:
    """Requests, each made of the words that the API knows and of others."""

    def __init__(self, seed: int, rules: list[tuple[str, list[str]]], known: list[str]) -> None:
        self._random = random.Random(seed)
        self._rules = rules
        self._known = known

    def _one(self, values: Any) -> Any:
        return self._random.choice(values)

    def _some(self, most: int) -> range:
        return range(self._random.randint(0, most))

    def path(self) -> tuple[str, str]:
        rule, methods = self._one(self._rules)
        while "<" in rule:
            before, _, rest = rule.partition("<")
            found = self._one((*self._known, *self._known, *TEXTS[:40]))
            rule = before + found.replace("<", "") + rest.partition(">")[2]
        method = self._one((*methods, *methods, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"))
        return method, rule

    def value(self, depth: int = 0) -> Any:
        made: list[Callable[[], Any]] = [
            lambda: self._one(TEXTS),
            lambda: self._one(
                (0, 1, -1, 2**31, 2**63, 10**40, 1.5, 1e308, True, False, None, "\ud800")
            ),
            lambda: self._one(self._known),
        ]
        if depth < 4:
            made += [
                lambda: [self.value(depth + 1) for _ in self._some(3)],
                lambda: {self._key(): self.value(depth + 1) for _ in self._some(4)},
                lambda: [
                    {
                        "op": self._one(("add", "replace", "remove", "move", "copy", "test", "x")),
                        "path": f"/{self._one(ATTRIBUTES)}",
                        "from": f"/{self._one(ATTRIBUTES)}",
                        "value": self.value(depth + 1),
                    }
                ],
            ]
        return self._one(made)()

    def _key(self) -> str:
        own = (
            "member", "status", "method", "stores", "all_stores", "input", "type", "namespace",
            "title", "properties", "objects", "prefix", "resource_type_associations", "required",
        )  # fmt: skip
        return str(self._one((*ATTRIBUTES, *own, *TEXTS[:12])))

    def body(self) -> bytes:
        kind = self._random.random()
        if kind < 0.1:
            return self._random.randbytes(self._random.randint(0, 40))
        if kind < 0.15:
            return b"[" * 3000
        text = json.dumps(self.value(), allow_nan=True)
        return text.encode()[: None if kind < 0.95 else len(text) // 2]

    def query(self) -> dict[str, str]:
        return {self._one(QUERY): self._one((*TEXTS[:50], *self._known)) for _ in self._some(3)}

    def headers(self) -> dict[str, str]:
        shown = [text for text in TEXTS if text.isascii() and "\0" not in text and len(text) < 999]
        return {self._one(HEADERS): self._one(shown) for _ in self._some(2)}

    @property
    def roles(self) -> str:
        return str(
            self._one(("member,reader", "admin", "admin,member,reader", "reader", "service"))
        )

    @property
    def media_type(self) -> str:
        return str(self._one(TYPES))


def test_no_request_is_answered_5xx(catalog: Catalog) -> None:
    flask = catalog.api.app._app.__self__  # type: ignore[attr-defined]  # a bound method
    rules = [
        (rule.rule, sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        for rule in flask.url_map.iter_rules()
    ]
    known = [
        catalog.create_active(tags=["a"], x="y"),
        catalog.create_raw(),
        catalog.create_staged(),
        catalog.create_active(visibility="private"),
        "OS::Random",
        "p1",
    ]
    admin = catalog.as_("p1", "admin,member,reader")
    made = admin.request("POST", "/v2/metadefs/namespaces", json={"namespace": "OS::Random"})
    assert made.status_code == 201
    seed = int(os.environ.get("KILO_SEED", "1"))
    dice = Dice(seed, rules, known)
    statuses: set[int] = set()
    for number in range(COUNT):
        (method, path), who = dice.path(), catalog.as_("p1", dice.roles)
        rest = {
            "query_string": dice.query(),
            "headers": dice.headers(),
            "content_type": dice.media_type,
            "data": dice.body() if method != "GET" else b"",
        }
        answer = who.request(method, path, **rest)
        assert answer.status_code < 500, f"{number}: {method} {path[:200]!r} {str(rest)[:2000]}"
        statuses.add(answer.status_code)
    assert {200, 400, 403, 404, 405} <= statuses  # it is not all nonsense
