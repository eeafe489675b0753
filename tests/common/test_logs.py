"""Log lines: for people and for machines, with the request they belong to."""

import io
import json
import logging
import threading
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
    logging.getLogger().handlers[0].flush()
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


class WatchedStream(io.StringIO):
    """Counts how often it is written to, and tells when."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.writes += 1
        self.written.set()
        return super().write(text)


def test_a_line_is_written_soon() -> None:
    stream = WatchedStream()
    logs.setup(LogSettings(), stream)
    logging.getLogger("kilo.test").info("hello")
    assert stream.written.wait(5.0)
    assert "hello" in stream.getvalue()


def test_lines_are_written_together() -> None:
    stream = WatchedStream()
    handler = logs.LineHandler(stream)
    for number in "123":
        handler.emit(logging.makeLogRecord({"msg": number, "levelno": logging.INFO}))
    assert stream.writes == 0
    handler.flush()
    assert stream.writes == 1
    assert stream.getvalue() == "1\n2\n3\n"


def test_a_warning_is_written_at_once_behind_what_came_before() -> None:
    stream = WatchedStream()
    logs.setup(LogSettings(), stream)
    logging.getLogger("kilo.test").info("first")
    logging.getLogger("kilo.test").warning("second")
    first, second = stream.getvalue().splitlines()
    assert "first" in first
    assert "second" in second


def test_a_line_that_waits_is_written_at_the_end() -> None:
    stream = WatchedStream()
    logs.setup(LogSettings(), stream)
    logging.getLogger("kilo.test").info("last words")
    logging.getLogger().handlers[0].close()
    assert "last words" in stream.getvalue()
