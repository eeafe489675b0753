"""Keeps one link to the broker up: connects, reads it, and connects again until it is closed."""

import logging
import random
import threading
import time
from collections.abc import Callable

from kilo_common.bus.errors import BusUnavailable
from kilo_common.bus.kombu_transport.connection import Connected, backoff, connect
from kilo_common.bus.kombu_transport.link import BROKER_ERRORS, Link
from kilo_common.bus.kombu_transport.profile import Profile
from kilo_common.bus.kombu_transport.waiting import LinkLost, left
from kilo_common.bus.url import BusUrl

log = logging.getLogger(__name__)
SETTLED = 2.0
"""Seconds after which a connection counts as good: the next attempt comes soon after its end."""


class Keeper:
    """The owner of a link, and the thread that reads it."""

    def __init__(
        self,
        url: BusUrl,
        profile: Profile,
        *,
        name: str,
        tend: Callable[[Link], None] = lambda _link: None,
    ) -> None:
        """`tend` is called by the reader as soon as a link is up, and about every second."""
        self._url = url
        self._profile = profile
        self._name = name
        self._tend = tend
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._link: Link | None = None
        self._fault: Exception | None = None
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._turn = 0
        self._links = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether there will be no link any more, unless it is opened again."""
        return self._closed

    def get(self, deadline: float, *, patient: bool) -> Link:
        """The link, waiting for it until `deadline`; unless `patient`, only for one attempt.

        Raises:
            BusUnavailable: there is none.
        """
        link = self._link
        if link is not None and link.alive:
            return link
        with self._changed:
            self._ensure_thread()
            failures = self._failures
            if not patient:
                self._hurry.set()
            while self._link is None or not self._link.alive:
                if self._closed:
                    raise BusUnavailable("The bus is stopped", may_have_been_published=False)
                if not patient and self._failures > failures and self._fault is not None:
                    raise BusUnavailable(
                        str(self._fault), may_have_been_published=False
                    ) from self._fault
                if not self._changed.wait(left(deadline)) and not left(deadline):
                    raise BusUnavailable(
                        f"There is no connection to the broker: {self._fault or 'not yet'}",
                        may_have_been_published=False,
                    )
            return self._link

    def close(self, timeout: float) -> None:
        """Write what is in line, disconnect, and end the thread."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._hurry.set()
            self._changed.notify_all()
            link, thread = self._link, self._thread
        if link is not None and link.alive:
            link.hang_up(min(1.0, timeout))
        if thread is not None:
            thread.join(left(deadline))

    def reopen(self) -> None:
        """Undo `close`."""
        with self._changed:
            self._closed = False
            self._thread = None

    def _ensure_thread(self) -> None:
        """Called with the condition held."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failures = 0
        while not self._closed:
            began = time.monotonic()
            try:
                # Host rotation: after a failure, the next one first.
                connected = connect(self._url, self._profile, self._turn)
            except (*BROKER_ERRORS, BusUnavailable) as fault:
                level = logging.DEBUG if failures else logging.WARNING
                log.log(level, "%s: %s", self._name, fault)
                self._failed(fault)
            else:
                self._serve(connected)
            if time.monotonic() - began > SETTLED:
                failures = 0
            failures += 1
            self._turn += 1
            # Jitter, so that not every client of a broker comes back in the same instant.
            self._hurry.wait(backoff(failures) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            self._hurry.clear()

    def _serve(self, connected: Connected) -> None:
        """Read the link until it ends."""
        link = Link(connected, self._lost, renewed=self._links > 0)
        self._links += 1
        try:
            self._tend(link)
            self._announce(link)
            tended = time.monotonic()
            while link.alive:
                link.read()
                if time.monotonic() - tended > 1.0:
                    self._tend(link)
                    tended = time.monotonic()
        except BROKER_ERRORS as fault:
            if link.alive and not self._closed:
                log.warning("%s: the connection to the broker is lost: %s", self._name, fault)
            link.fail(fault)
        except Exception as fault:
            # The edge of the thread: whoever waits on the link must hear that it is gone.
            log.exception("%s: the connection to the broker is given up", self._name)
            link.fail(fault)
        link.discard()

    def _announce(self, link: Link) -> None:
        with self._changed:
            if not self._closed:
                self._link = link
                self._changed.notify_all()
                return
        link.fail(LinkLost("the bus was stopped"))

    def _lost(self, fault: Exception) -> None:
        with self._changed:
            self._link = None
            self._fault = fault
            self._changed.notify_all()

    def _failed(self, fault: Exception) -> None:
        with self._changed:
            self._fault = fault
            self._failures += 1
            self._changed.notify_all()
