"""What was committed is announced, at least once and in order."""

from collections.abc import Callable

import pytest

from catalog_story import Catalog, Heard
from kilo_catalog.tasks.outbox_relay import OutboxRelay
from kilo_common.bus.errors import BusUnavailable


def relay_of(catalog: Catalog) -> OutboxRelay:
    return next(each for each in catalog.api.services if isinstance(each, OutboxRelay))


def test_the_life_of_an_image_is_announced(catalog: Catalog, heard: Heard) -> None:
    image_id = catalog.create_active(name="demo", k="v")
    catalog.patch(image_id, [{"op": "replace", "path": "/name", "value": "new"}])
    shown = catalog.show(image_id)
    catalog.request("DELETE", f"/v2/images/{image_id}")
    relay_of(catalog).run_once()
    events = heard.take(5)
    assert [each.event_type for each in events] == [
        "image.create", "image.upload", "image.activate", "image.update", "image.delete",
    ]  # fmt: skip
    created, _uploaded, activated, updated, _deleted = events
    assert created.payload["status"] == "queued"
    assert activated.payload["status"] == "active"
    assert activated.payload["size"] == 10
    assert updated.payload == shown
    assert activated.publisher_id == "image.test"
    assert activated.priority == "INFO"
    assert {each.context["project_id"] for each in events} == {"p1"}
    assert len({each.message_id for each in events}) == 5


def test_nothing_is_announced_twice(catalog: Catalog, heard: Heard) -> None:
    catalog.create()
    relay_of(catalog).run_once()
    relay_of(catalog).run_once()
    assert len(heard.take(1)) == 1


def test_a_refused_change_is_not_announced(catalog: Catalog, heard: Heard) -> None:
    image_id = catalog.create(protected=True)["id"]
    assert catalog.request("DELETE", f"/v2/images/{image_id}").status_code == 403
    assert catalog.patch(image_id, []).status_code == 200
    relay_of(catalog).run_once()
    assert [each.event_type for each in heard.take(1)] == ["image.create"]


def test_events_wait_for_a_bus_that_is_down(
    catalog: Catalog, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        catalog.create(name=str(number))
    publish = catalog.transport.publish

    published = iter([True])

    def fail_after_one(*args: object, **rest: object) -> None:
        if not next(published, False):
            raise BusUnavailable("down")
        publish(*args, **rest)  # type: ignore[arg-type]  # handed on as they came

    with monkeypatch.context() as broken:
        broken.setattr(catalog.transport, "publish", fail_after_one)
        pauses = [relay_of(catalog).run_once() for _ in range(3)]
    assert pauses == [2.0, 4.0, 8.0]
    assert heard.names(1) == ["0"]
    assert relay_of(catalog).run_once() == 1.0
    assert heard.names(2) == ["1", "2"]


def test_what_a_dead_relay_had_in_hand_comes_back(
    catalog: Catalog,
    heard: Heard,
    open_catalog: Callable[..., Catalog],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    def die(*_args: object, **_rest: object) -> None:
        raise Killed

    other = open_catalog()
    other.create(name="x")
    with monkeypatch.context() as dying:
        dying.setattr(other.transport, "publish", die)
        dying.setattr(OutboxRelay, "_give_back", die)
        with pytest.raises(Killed):
            relay_of(other).run_once()
    relay_of(catalog).run_once()
    assert heard.take(0) == []
    catalog.clock.advance(61)
    relay_of(catalog).run_once()
    assert heard.names(1) == ["x"]


def test_a_running_relay_announces_at_once(catalog: Catalog, heard: Heard) -> None:
    for each in catalog.api.services:
        each.start()
    for number in range(20):
        catalog.create(name=str(number))
    relay_of(catalog).stop(10.0)
    for each in catalog.api.services:
        each.stop(10.0)
    relay_of(catalog).run_once()
    assert heard.names(20) == [str(number) for number in range(20)]
