"""Log lines: for people and for machines, with the request they belong to."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from kilo_common import logs
from kilo_common.context import RequestContext
from kilo_common.settings import LogSettings


@pytest.fixture(autouse=True)
def _keep_root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.forget()


def test_json_lines_carry_the_request() -> None:
    stream = io.StringIO()
    logs.setup(LogSettings(format="json"), stream)
    context = RequestContext(project_id="p1")
    logs.bind(context)
    logging.getLogger("kilo.test").info("hello %s", "you")
    line = json.loads(stream.getvalue())
    assert line["message"] == "hello you"
    assert line["level"] == "INFO"
    assert line["request_id"] == context.request_id
    assert line["project_id"] == "p1"
    assert line["time"].endswith("+00:00")
    assert set(line) == {
        *("time", "level", "logger", "message", "request_id", "project_id", "traceparent")
    }


def test_console_lines_name_the_request_and_keep_the_level() -> None:
    stream = io.StringIO()
    logs.setup(LogSettings(level="warning"), stream)
    context = RequestContext()
    logs.bind(context)
    logging.getLogger("kilo.test").info("not shown")
    logging.getLogger("kilo.test").warning("shown")
    assert "not shown" not in stream.getvalue()
    assert f"shown [{context.request_id}]" in stream.getvalue()
