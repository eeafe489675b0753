"""Who may do what: the rules as they are unless a policy file says otherwise."""

from collections.abc import Mapping

ANYBODY = ""
"""Every caller, within their own project: no operation here crosses projects."""
ADMIN = "role:admin"

DEFAULTS: Mapping[str, str] = {
    "queues:get_all": ANYBODY,
    "queues:create": ANYBODY,
    "queues:get": ANYBODY,
    "queues:update": ANYBODY,
    "queues:delete": ANYBODY,
    "queues:stats": ANYBODY,
    "queues:share": ANYBODY,
    "queues:purge": ANYBODY,
    "queues:redrive": ANYBODY,
    "messages:get_all": ANYBODY,
    "messages:get": ANYBODY,
    "messages:create": ANYBODY,
    "messages:delete": ANYBODY,
    "messages:delete_all": ANYBODY,
    "claims:create": ANYBODY,
    "claims:get": ANYBODY,
    "claims:update": ANYBODY,
    "claims:delete": ANYBODY,
    "subscription:create": ANYBODY,
    "subscription:get_all": ANYBODY,
    "subscription:get": ANYBODY,
    "subscription:update": ANYBODY,
    "subscription:confirm": ANYBODY,
    "subscription:delete": ANYBODY,
    "pools:get_all": ADMIN,
    "pools:get": ADMIN,
    "pools:create": ADMIN,
    "pools:update": ADMIN,
    "pools:delete": ADMIN,
    "flavors:get_all": ANYBODY,
    "flavors:get": ANYBODY,
    "flavors:create": ADMIN,
    "flavors:update": ADMIN,
    "flavors:delete": ADMIN,
    "topics:placement": ADMIN,
    "topics:move": ADMIN,
    "clock:get": ANYBODY,
    "clock:advance": ADMIN,
    "ping:get": ANYBODY,
    "health:get": ADMIN,
}
