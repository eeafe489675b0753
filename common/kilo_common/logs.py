"""Logging: console lines for people, JSON lines for machines, the request id in each."""

import logging
import sys
import threading
import time
from contextvars import ContextVar
from typing import TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from kilo_common.context import RequestContext
from kilo_common.settings import LogSettings

_current: ContextVar[RequestContext | None] = ContextVar("kilo_request", default=None)
LINGER = 0.2
"""Seconds that a line which is no warning may wait for others."""
MOST_LINES = 1000


def setup(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to `stream` (standard error). Called by a start file."""
    # No line names a thread, a process or a line of code, and to find them out takes as long
    # as the rest of a line (the logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = LineHandler(stream or sys.stderr)
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
    handler.start()


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines together, a few times a second: to write each one would cost a request more
    than anything else that it needs.

    A warning is written at once, with all that came before it, and so is everything at the end
    of the process. Only who kills it loses lines, those of the last moment.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._closed = False

    def start(self) -> None:
        """Begin to write lines that have waited for `LINGER`."""
        threading.Thread(target=self._flush_often, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line, or write it; the lock of the handler is held."""
        try:
            self._lines.append(self.format(record))
            if record.levelno >= logging.WARNING or len(self._lines) >= MOST_LINES:
                self.flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end a request
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        self.acquire()
        try:
            if self._lines:
                lines, self._lines = self._lines, []
                self.stream.write("\n".join([*lines, ""]))
            super().flush()
        finally:
            self.release()

    def close(self) -> None:
        """Write what waits, and no more."""
        self._closed = True
        self.flush()
        super().close()

    def _flush_often(self) -> None:
        while not self._closed:
            time.sleep(LINGER)
            if self._lines:
                try:
                    self.flush()
                except (OSError, ValueError):
                    return  # nobody reads any more


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
