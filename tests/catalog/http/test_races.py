"""Requests for one image at the same time: whatever order they come in, the end is consistent."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog_story import Catalog
from kilo_catalog.tasks.reaper import Reaper

ROUNDS = 8
Work = Callable[[], int]


def all_at_once(works: list[Work]) -> list[int]:
    """The answer to each, begun as nearly together as threads can be."""
    gate = threading.Barrier(len(works))

    def wait_and(work: Work) -> int:
        gate.wait(10)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(wait_and, works))


def change(catalog: Catalog, image_id: str, name: str) -> Work:
    body = [{"op": "add", "path": f"/{name}", "value": name}]
    return lambda: catalog.patch(image_id, body).status_code


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_changes_uploads_and_a_deletion(catalog: Catalog, seed: int) -> None:
    image_id = catalog.create_raw()
    path = f"/v2/images/{image_id}"
    data = [bytes([number]) * 300_000 for number in range(3)]
    works: list[Work] = [
        *(change(catalog, image_id, f"p{number}") for number in range(4)),
        *(lambda each=each: catalog.put(image_id, each).status_code for each in data),  # type: ignore[misc]
        lambda: catalog.request("PUT", f"{path}/tags/a").status_code,
        lambda: catalog.request("DELETE", path).status_code,
        lambda: catalog.request("GET", f"{path}/file").status_code,
    ]
    random.Random(seed).shuffle(works)
    answers = all_at_once(works)
    assert set(answers) <= {200, 204, 404, 409, 410}
    assert catalog.request("GET", path).status_code == 404
    catalog.clock.advance(3600)  # what was left to a lease is due now
    next(each for each in catalog.api.services if isinstance(each, Reaper)).run_once()
    assert catalog.files() == []


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_changes_and_uploads(catalog: Catalog, seed: int) -> None:
    image_id = catalog.create_raw()
    data = [bytes([number]) * 300_000 for number in range(3)]
    changes = [change(catalog, image_id, f"p{number}") for number in range(5)]
    uploads: list[Work] = [
        lambda each=each: catalog.put(image_id, each).status_code  # type: ignore[misc]
        for each in data
    ]
    answers = all_at_once([*changes, *uploads])
    assert answers[:5] == [200] * 5  # no change is lost
    assert sorted(answers[5:]) == [204, 409, 409]
    shown = catalog.show(image_id)
    assert [shown[f"p{number}"] for number in range(5)] == [f"p{number}" for number in range(5)]
    assert shown["status"] == "active"
    assert catalog.data(image_id) == data[answers[5:].index(204)]
    assert len(catalog.files()) == 1


def test_of_two_changes_to_one_version_one_is_made(catalog: Catalog) -> None:
    image_id = catalog.create_raw()
    etag = catalog.request("GET", f"/v2/images/{image_id}").headers["ETag"]

    def rename(name: str) -> Work:
        body = [{"op": "replace", "path": "/name", "value": name}]
        return lambda: (
            catalog.request(
                "PATCH",
                f"/v2/images/{image_id}",
                json=body,
                content_type="application/json-patch+json",
                headers={"If-Match": etag},
            ).status_code
        )

    assert sorted(all_at_once([rename(f"n{number}") for number in range(6)])) == [200] + [412] * 5


def test_of_many_deletions_one_is_made(catalog: Catalog) -> None:
    image_id = catalog.create_active()
    path = f"/v2/images/{image_id}"
    works: list[Work] = [lambda: catalog.request("DELETE", path).status_code] * 6
    assert sorted(all_at_once(works)) == [204] + [404] * 5
    assert catalog.files() == []
