"""What can go wrong on the bus.

On the way out
├── BusUnavailable      the broker does not answer, or did not confirm in time
├── NoRoute             nobody listens at that address
├── TargetInvalid       a call to all servers at once: one answer is waited for, not several
├── VersionTooNew       the client is told to send nothing newer than its version cap
├── RateLimited         more than the rate that was set, and no patience left to wait
While waiting
├── CallTimeout         no answer within the time-out, and whether the method may have run
├── CallAborted         the client was stopped while the call was waiting
At the other side
├── EnvelopeInvalid     the message is not in a form we read
├── NoSuchMethod, UnsupportedVersion, ArgumentsInvalid: nothing ran
└── RemoteError         the method ran and failed: code, message, details of the other side
"""

from typing import Any

from kilo_common.errors import Conflict, Failure, InvalidInput, NotFound, Unavailable


class BusUnavailable(Unavailable):
    """The broker does not answer. A driver that knows that nothing went out, or that was not asked
    to publish, says `may_have_been_published=False`: then doing it again is safe."""

    code = "bus.unavailable"

    def __init__(
        self, message: str, /, *, may_have_been_published: bool = True, **details: Any
    ) -> None:
        super().__init__(message, **details, may_have_been_published=may_have_been_published)

    @property
    def may_have_been_published(self) -> bool:
        """Whether the message may be on its way all the same. If so, a call may have run."""
        return bool(self.details["may_have_been_published"])


class NoRoute(NotFound):
    code = "bus.no_route"


class TargetInvalid(InvalidInput):
    code = "bus.target_invalid"


class VersionTooNew(Conflict):
    code = "bus.version_too_new"


class RateLimited(Unavailable):
    code = "bus.rate_limited"


class CallTimeout(Unavailable):
    code = "bus.call_timeout"

    @property
    def may_have_run(self) -> bool:
        """Whether a server may have run the method, or be running it yet."""
        return bool(self.details.get("may_have_run", True))


class CallAborted(CallTimeout):
    """The client was stopped before the answer came."""

    code = "bus.call_aborted"


class EnvelopeInvalid(InvalidInput):
    code = "bus.envelope_invalid"


class NoSuchMethod(NotFound):
    code = "bus.no_such_method"


class UnsupportedVersion(Conflict):
    code = "bus.unsupported_version"


class ArgumentsInvalid(InvalidInput):
    code = "bus.arguments_invalid"


class RemoteError(Failure):
    """The other side's error, as data.

    `details` holds `remote_code` (its dotted code, or `module.Class` of a foreign exception) and
    whatever details it sent.
    """

    code = "bus.remote_error"

    @property
    def remote_code(self) -> str:
        """The dotted code of the error at the other side."""
        found: Any = self.details.get("remote_code", "")
        return str(found)
