"""Logging: console lines for people, JSON lines for machines, the request id in each."""

import logging
import sys
from contextvars import ContextVar
from typing import TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from kilo_common.context import RequestContext
from kilo_common.settings import LogSettings

_current: ContextVar[RequestContext | None] = ContextVar("kilo_request", default=None)


def setup(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to `stream` (standard error). Called by a start file."""
    # No line names a thread, a process or a line of code, and to find them out takes as long
    # as the rest of a line (the logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_add_context)
    if settings.format == "json":
        handler.setFormatter(
            JsonFormatter(
                "{levelname}{name}{message}{request_id}{project_id}{traceparent}",
                style="{",
                rename_fields={"levelname": "level", "name": "logger"},
                reserved_attrs=[*RESERVED_ATTRS, "request_suffix"],
                timestamp="time",
            )
        )
    else:
        handler.setFormatter(
            logging.Formatter(
                "{asctime}.{msecs:03.0f} {levelname:<7} {name}: {message}{request_suffix}",
                datefmt="%H:%M:%S",
                style="{",
            )
        )
    for talkative in ("alembic", "websocket"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)


def bind(context: RequestContext) -> None:
    """Name the request that the current thread or greenlet serves from now on."""
    _current.set(context)


def forget() -> None:
    """The current thread or greenlet serves no request any more."""
    _current.set(None)


def _add_context(record: logging.LogRecord) -> bool:
    context = _current.get()
    record.request_id = context.request_id if context else None
    record.project_id = context.project_id if context else None
    record.traceparent = context.traceparent if context else None
    record.request_suffix = f" [{context.request_id}]" if context else ""
    return True
