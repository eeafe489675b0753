"""The two documents that describe the API: the versions at `/`, the resources at `/v2/`."""

from collections.abc import Mapping
from typing import Any

import msgspec

HOME_TYPE = "application/json-home"

_VERSIONS: dict[str, Any] = {
    "versions": [
        {
            "id": "2",
            "status": "CURRENT",
            "updated": "2014-9-24T04:06:47Z",
            "media-types": [
                {
                    "base": "application/json",
                    "type": "application/vnd.openstack.messaging-v2+json",
                }
            ],
            "links": [{"href": "/v2/", "rel": "self"}],
        }
    ]
}


def versions_document() -> bytes:
    """What `GET /` answers, with status 300."""
    return msgspec.json.encode(_VERSIONS)


def home_document(limits: Mapping[str, Any]) -> bytes:
    """What `GET /v2/` answers: JSON Home, draft 03, and beside it how much a client may ask for."""
    resources: dict[str, Any] = {
        "rel/ping": _resource("/v2/ping", ["GET", "HEAD"]),
        "rel/health": _resource("/v2/health", ["GET"]),
    }
    for plural, singular in (("pools", "pool"), ("flavors", "flavor")):
        resources |= _pools(plural, singular)
    for plural, singular in (("queues", "queue"), ("topics", "topic")):
        resources |= _collection(plural, singular)
    return msgspec.json.encode({"resources": resources, "limits": limits})


def _pools(plural: str, singular: str) -> dict[str, Any]:
    page = {key: f"param/{key}" for key in ("marker", "limit", "detailed")}
    name = {f"{singular}_name": f"param/{singular}_name"}
    return {
        f"rel/{plural}": _template(f"/v2/{plural}{{?{','.join(page)}}}", page, ["GET"]),
        f"rel/{singular}": _template(
            f"/v2/{plural}/{{{singular}_name}}", name, ["GET", "PUT", "PATCH", "DELETE"]
        ),
    }


def _collection(plural: str, singular: str) -> dict[str, Any]:
    root = f"/v2/{plural}"
    one = f"{root}/{{{singular}_name}}"
    name = {f"{singular}_name": f"param/{singular}_name"}
    page = {"marker": "param/marker", "limit": "param/limit"}
    listing = page | {
        key: f"param/{key}" for key in ("echo", "include_claimed", "include_delayed", "wait")
    }
    claim = name | {"claim_id": "param/claim_id"}
    subscription = name | {"subscription_id": "param/subscription_id"}
    message = ["GET", "DELETE"] if plural == "queues" else ["DELETE"]
    return {
        f"rel/{plural}": _template(
            f"{root}{{?marker,limit,detailed,with_count,name}}",
            page | {key: f"param/{key}" for key in ("detailed", "with_count", "name")},
            ["GET"],
        ),
        f"rel/{singular}": _template(one, name, ["GET", "PUT", "PATCH", "DELETE"]),
        f"rel/{singular}_stats": _template(f"{one}/stats", name, ["GET"]),
        f"rel/{singular}_purge": _template(f"{one}/purge", name, ["POST"]),
        f"rel/{singular}_share": _template(f"{one}/share", name, ["POST"]),
        f"rel/{singular}_redrive": _template(f"{one}/redrive", name, ["POST"]),
        f"rel/{singular}_post_messages": _template(f"{one}/messages", name, ["POST"]),
        f"rel/{singular}_messages": _template(
            f"{one}/messages{{?{','.join(listing)}}}", name | listing, ["GET", "DELETE"]
        ),
        f"rel/{singular}_message": _template(
            f"{one}/messages/{{message_id}}{{?claim_id}}",
            claim | {"message_id": "param/message_id"},
            message,
        ),
        f"rel/{singular}_post_claim": _template(
            f"{one}/claims{{?limit,wait}}",
            name | {"limit": "param/claim_limit", "wait": "param/wait"},
            ["POST"],
        ),
        f"rel/{singular}_claim": _template(
            f"{one}/claims/{{claim_id}}", claim, ["GET", "PATCH", "DELETE"]
        ),
        f"rel/{singular}_placement": _template(f"{one}/placement", name, ["GET", "PUT"]),
        f"rel/{singular}_subscriptions": _template(
            f"{one}/subscriptions{{?marker,limit}}", name | page, ["GET", "POST"]
        ),
        f"rel/{singular}_subscription": _template(
            f"{one}/subscriptions/{{subscription_id}}",
            subscription,
            ["GET", "PATCH", "DELETE"],
        ),
        f"rel/{singular}_subscription_confirm": _template(
            f"{one}/subscriptions/{{subscription_id}}/confirm", subscription, ["PUT"]
        ),
    }


def _resource(href: str, methods: list[str]) -> dict[str, Any]:
    return {"href": href, "hints": {"allow": methods, "formats": {"application/json": {}}}}


def _template(template: str, variables: dict[str, str], methods: list[str]) -> dict[str, Any]:
    return {
        "href-template": template,
        "href-vars": variables,
        "hints": {"allow": methods, "formats": {"application/json": {}}},
    }
