"""A catalog in process and the words that tests of it use."""

from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from werkzeug.test import Client, TestResponse

from kilo_catalog.wiring import CatalogApi
from kilo_common.bus.envelope import Notification
from kilo_common.bus.memory import MemoryTransport
from kilo_common.testing.clock import FakeClock

V21 = "application/openstack-images-v2.1-json-patch"
V20 = "application/openstack-images-v2.0-json-patch"
DATA = "application/octet-stream"


@dataclass
class Catalog:
    """A running catalog and the words tests use with it."""

    api: CatalogApi
    clock: FakeClock
    transport: MemoryTransport
    folder: Path
    project: str = "p1"
    roles: str = "member,reader"

    def as_(self, project: str, roles: str = "member,reader") -> "Catalog":
        """The same catalog, asked by somebody else."""
        return Catalog(self.api, self.clock, self.transport, self.folder, project, roles)

    def request(self, method: str, path: str, **rest: Any) -> TestResponse:
        headers = {"X-Project-Id": self.project, "X-Roles": self.roles, **rest.pop("headers", {})}
        # Buffered: the answer is read and closed, as a server does it.
        options = {"buffered": True, **rest}
        return Client(self.api.app).open(path, method=method, headers=headers, **options)

    def create(self, **values: Any) -> dict[str, Any]:
        answer = self.request("POST", "/v2/images", json=values)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def create_raw(self, **values: Any) -> str:
        return str(self.create(disk_format="raw", container_format="bare", **values)["id"])

    def create_active(self, data: bytes = b"0123456789", **values: Any) -> str:
        image_id = self.create_raw(**values)
        assert self.put(image_id, data).status_code == 204
        return image_id

    def put(self, image_id: str, data: Any, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(
            "PUT", f"/v2/images/{image_id}/file", data=data, content_type=DATA, headers=named
        )

    def patch(self, image_id: str, body: Any, media_type: str = V21) -> TestResponse:
        return self.request("PATCH", f"/v2/images/{image_id}", json=body, content_type=media_type)

    def show(self, image_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.request("GET", f"/v2/images/{image_id}").get_json()
        return found

    def stage(self, image_id: str, data: Any, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(
            "PUT", f"/v2/images/{image_id}/stage", data=data, content_type=DATA, headers=named
        )

    def import_(self, image_id: str, method: str = "glance-direct", **rest: Any) -> TestResponse:
        """Begin an import; what belongs to the method goes before what belongs to the body."""
        named = ("uri", "glance_region", "glance_image_id")
        source = {name: rest.pop(name) for name in named if name in rest}
        body = {"method": {"name": method, **source}, **rest}
        return self.request("POST", f"/v2/images/{image_id}/import", json=body)

    def create_staged(self, data: bytes = b"0123456789", **values: Any) -> str:
        image_id = self.create_raw(**values)
        assert self.stage(image_id, data).status_code == 204
        return image_id

    def tasks(self, image_id: str) -> list[dict[str, Any]]:
        """The tasks of an image, oldest first."""
        answer = self.request("GET", f"/v2/images/{image_id}/tasks")
        found: list[dict[str, Any]] = answer.get_json()["tasks"]
        return found

    def work(self) -> int:
        """Do all tasks that wait; how many there were."""
        return self.api.worker.run_pending()

    def data(self, image_id: str) -> bytes:
        return bytes(self.request("GET", f"/v2/images/{image_id}/file").data)

    def files(self) -> list[str]:
        """What the store holds, finished or not."""
        return sorted(path.name for path in (self.folder / "images").rglob("*") if path.is_file())


class Heard:
    """Notifications as a listener gets them."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Notification] = SimpleQueue()

    def take(self, count: int) -> list[Notification]:
        """The next `count`, and then no more."""
        taken = [self.queue.get(timeout=10) for _ in range(count)]
        assert self.queue.empty()
        return taken

    def names(self, count: int) -> list[str]:
        """The names of the images that the next `count` are about."""
        return [each.payload["name"] for each in self.take(count)]
