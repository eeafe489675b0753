"""The service catalog: which services there are, and where."""

import uuid
from collections.abc import Iterator
from typing import Any

INTERFACES = ("public", "internal", "admin")
SERVICES = {
    "identity": "keystone",
    "image": "glance",
    "messaging": "zaqar",
    "messaging-websocket": "zaqar-websocket",
}
"""Types of services, by which clients look for them, and the names they are known by."""


class ServiceCatalog:
    """Filled by a start file as the services begin to listen; until then they are not in it."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._urls: dict[str, str] = {}

    def publish(self, kind: str, url: str) -> None:
        """Say where the service of type `kind` is."""
        self._urls[kind] = url

    @property
    def url(self) -> str:
        """Where the identity service itself is; empty as long as it is not published."""
        return self._urls.get("identity", "")

    def document(self) -> list[dict[str, Any]]:
        """The catalog as a token carries it."""
        return [
            {
                "type": kind,
                "name": SERVICES[kind],
                "id": _id(kind),
                "endpoints": [
                    {
                        "id": _id(kind, interface),
                        "interface": interface,
                        "region": self.region,
                        "region_id": self.region,
                        "url": url,
                    }
                    for interface in INTERFACES
                ],
            }
            for kind, url in self._urls.items()
        ]

    def services(self) -> list[dict[str, Any]]:
        """The services as records of their own."""
        return [
            {"id": _id(kind), "type": kind, "name": SERVICES[kind], "enabled": True}
            for kind in self._urls
        ]

    def endpoints(self) -> Iterator[dict[str, Any]]:
        """The endpoints as records of their own."""
        for service in self.document():
            for endpoint in service["endpoints"]:
                yield endpoint | {"service_id": service["id"], "enabled": True}


def _id(*parts: str) -> str:
    """The same id for the same thing at each start."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "kilostack:" + ":".join(parts)).hex
