"""What the catalog declares of its events is what it announces."""

import re
from pathlib import Path

import msgspec

from catalog_story import Catalog, Heard
from kilo_catalog import service
from kilo_catalog.service.events import EVENTS, ImageEvent
from kilo_catalog.tasks.outbox_relay import OutboxRelay


def test_a_payload_is_of_the_declared_type(catalog: Catalog, heard: Heard) -> None:
    catalog.create_active(name="demo", k="v")
    relay = next(each for each in catalog.api.services if isinstance(each, OutboxRelay))
    relay.run_once()
    declared = {each.event_type for each in EVENTS}
    for event in heard.take(3):
        assert event.event_type in declared
        assert set(event.payload) - {"k"} <= set(ImageEvent.__struct_fields__)
        assert msgspec.convert(event.payload, ImageEvent).name == "demo"


def test_every_event_that_is_recorded_is_declared() -> None:
    folder = Path(service.__file__).parent
    recorded = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r'context, f?"(image\.[a-z]+)"', path.read_text())
    }
    assert recorded
    assert recorded <= {each.event_type for each in EVENTS}
