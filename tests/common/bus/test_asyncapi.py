"""The AsyncAPI document: what is declared is described, and every reference leads somewhere."""

from collections.abc import Iterator
from typing import Any

import msgspec

from kilo_common.bus.asyncapi import document
from kilo_common.bus.declarations import (
    BusDeclaration,
    EventDeclaration,
    MessageDeclaration,
    ServerDeclaration,
)
from kilo_common.bus.dispatcher import Endpoint, RequestInfo, rpc
from kilo_common.bus.target import Target
from kilo_common.context import RequestContext


class Point(msgspec.Struct):
    x: int
    y: int


class Plotter(Endpoint):
    namespace = "plot"
    version = "1.3"

    @rpc
    def draw(
        self, context: RequestContext, info: RequestInfo, points: list[Point], colour: str = "red"
    ) -> int:
        """Draws a line through points."""
        return len(points)

    def hidden(self, context: RequestContext) -> None:
        pass


DECLARED = BusDeclaration(
    "plotter",
    "Draws.",
    publisher_id="plot.HOST",
    events=[EventDeclaration("plot.drawn", Point, "A line was drawn.", priority="warn")],
    servers=[ServerDeclaration(Target("plotter"), [Plotter()])],
    messages=[MessageDeclaration(Target("peers", fanout=True), "hello", dict[str, int], "Hello.")],
    hears=["info"],
)


def described() -> dict[str, Any]:
    return document(
        [DECLARED], title="T", version="1", exchange="openstack", notification_topic="notes"
    )


def test_a_method_is_described_with_its_arguments_and_its_answer() -> None:
    found = described()
    operation = found["operations"]["serve.plotter.plot.draw"]
    assert (operation["action"], operation["summary"]) == (
        "receive",
        "Draws a line through points.",
    )
    assert operation["reply"]["address"] == {"location": "$message.payload#/_reply_q"}
    payload = found["components"]["messages"]["plotter.plot.draw"]["payload"]["properties"]
    assert payload["method"] == {"const": "draw"}
    assert payload["namespace"] == {"const": "plot"}
    assert payload["args"]["required"] == ["points"]
    assert payload["args"]["properties"]["points"]["items"] == {
        "$ref": "#/components/schemas/Point"
    }
    assert "hidden" not in str(found)
    assert "info" not in payload["args"]["properties"]


def test_an_event_is_on_the_channel_of_its_priority() -> None:
    found = described()
    assert "plot.drawn" in found["channels"]["notes.warn"]["messages"]
    assert found["operations"]["announce.plot.drawn"]["action"] == "send"
    assert found["operations"]["plotter.hears.info"]["action"] == "receive"
    assert found["channels"]["peers_fanout"]["address"] == "peers_fanout"


def test_every_reference_leads_somewhere() -> None:
    found = described()
    references = list(references_in(found))
    assert references
    for reference in references:
        place: Any = found
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]
    msgspec.json.encode(found)


def references_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from references_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from references_in(each)
