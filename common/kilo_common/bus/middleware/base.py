"""The hooks around publishing and handling, and the chain that calls them in order."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kilo_common.bus.envelope import Message, Notification, Request
from kilo_common.bus.target import Address
from kilo_common.bus.transport import Delivery
from kilo_common.bus.verdict import DONE, Verdict

log = logging.getLogger(__name__)


class MessageKind(Enum):
    """What a message is to those who send and get it."""

    CALL = "call"
    CAST = "cast"
    FANOUT = "fanout"
    REPLY = "reply"
    NOTIFICATION = "notification"


@dataclass
class Outgoing:
    """A message about to be published. Hooks may change `message` and `headers`."""

    kind: MessageKind
    name: str
    """The method or the event type; a reply has the id of its call."""
    address: Address
    message: Message
    """As `envelope.py` has it, the context under its keys."""
    headers: dict[str, str] = field(default_factory=dict)
    notes: dict[object, Any] = field(default_factory=dict)
    """What a middleware keeps between its hooks, under itself as the key."""


@dataclass
class Incoming:
    """A message that is being worked on."""

    kind: MessageKind
    name: str
    """The method or the event type."""
    content: Request | Notification
    delivery: Delivery
    together: int = 1
    """How many are worked on as one, this one among them: more than one in a batch."""
    notes: dict[object, Any] = field(default_factory=dict)

    @property
    def headers(self) -> Mapping[str, str]:
        """What the publisher, or the broker, said beside the body."""
        return self.delivery.headers

    @property
    def redelivered(self) -> bool:
        """Whether somebody had the message before and did not finish."""
        return self.delivery.redelivered

    @property
    def identity(self) -> str:
        """By what the message is known when it comes again; empty if it has no id."""
        content = self.content
        if isinstance(content, Notification) and content.message_id:
            return content.message_id
        return content.unique_id


class Middleware:
    """Hooks that do nothing; a middleware overrides those it needs.

    `before_…` run in the order of the tuple, the others in the reverse order. A `before_…` that
    raises stops the publishing or the handling, as if that had failed.
    """

    def before_publish(self, outgoing: Outgoing) -> None:
        """`outgoing` is about to be handed to the broker."""

    def after_publish(self, outgoing: Outgoing, error: Exception | None) -> None:
        """The broker has it, or `error` says why not."""

    def before_handle(self, incoming: Incoming) -> None:
        """`incoming` is about to be worked on."""

    def after_handle(self, incoming: Incoming, verdict: Verdict) -> None:
        """It was worked on, and `verdict` becomes of it."""

    def on_failure(self, incoming: Incoming, error: Exception) -> Verdict | None:
        """Working on it raised `error`. The verdict of the innermost that has one counts."""
        del incoming, error
        return None


Work = Callable[[], Verdict | None]
"""Works on a message; None means that it is done."""
Result = tuple[Verdict | None, Exception | None]
"""What becomes of a message, and the error if the work failed. A failure on which no middleware has
a verdict has None."""


class Chain:
    """Several middleware in order. Hooks that none of them overrides cost nothing."""

    def __init__(self, middleware: Sequence[Middleware] = ()) -> None:
        inwards, outwards = tuple(middleware), tuple(reversed(middleware))
        self._before_publish = [m.before_publish for m in inwards if _has(m, "before_publish")]
        self._after_publish = [m.after_publish for m in outwards if _has(m, "after_publish")]
        self._before_handle = [m.before_handle for m in inwards if _has(m, "before_handle")]
        self._after_handle = [m.after_handle for m in outwards if _has(m, "after_handle")]
        self._on_failure = [m.on_failure for m in outwards if _has(m, "on_failure")]
        self.publishes = bool(self._before_publish or self._after_publish)
        """Whether any hook of publishing is there at all."""

    def publish(self, outgoing: Outgoing, send: Callable[[], None]) -> None:
        """`send` between the hooks. Raises what it raises."""
        try:
            for hook in self._before_publish:
                hook(outgoing)
            send()
        except Exception as error:
            for tell in self._after_publish:
                tell(outgoing, error)
            raise
        for tell in self._after_publish:
            tell(outgoing, None)

    def handle(self, incoming: Incoming, work: Work) -> Result:
        """`work` between the hooks."""
        try:
            for hook in self._before_handle:
                hook(incoming)
            verdict = work() or DONE
        except Exception as error:  # noqa: BLE001 - whoever asked for the work decides what then
            return self._failed(incoming, error)
        return self._done(incoming, verdict)

    def handle_batch(
        self, batch: Sequence[Incoming], work: Callable[[Sequence[Incoming]], Verdict | None]
    ) -> list[Result]:
        """`work` on all at once, each with its hooks around it; a result for each. One that a
        `before_handle` stops is not among those that `work` gets."""
        stopped: dict[int, Exception] = {}
        for number, incoming in enumerate(batch):
            try:
                for hook in self._before_handle:
                    hook(incoming)
            except Exception as error:  # noqa: BLE001 - as in `handle`
                stopped[number] = error
        going = [each for number, each in enumerate(batch) if number not in stopped]
        fault: Exception | None = None
        verdict = DONE
        try:
            verdict = (work(going) if going else None) or DONE
        except Exception as error:  # noqa: BLE001 - as in `handle`
            fault = error
        results: list[Result] = []
        for number, incoming in enumerate(batch):
            failure = stopped.get(number, fault)
            if failure is None:
                results.append(self._done(incoming, verdict))
            else:
                results.append(self._failed(incoming, failure))
        return results

    def _failed(self, incoming: Incoming, error: Exception) -> Result:
        found: Verdict | None = None
        for tell in self._on_failure:
            found = found or tell(incoming, error)
        return found, error

    def _done(self, incoming: Incoming, verdict: Verdict) -> Result:
        for after in self._after_handle:
            try:
                after(incoming, verdict)
            except Exception:  # the work is done, and must not be done again for this
                log.exception("a middleware failed after %s", incoming.name)
        return verdict, None


def _has(middleware: Middleware, hook: str) -> bool:
    return getattr(type(middleware), hook) is not getattr(Middleware, hook)
