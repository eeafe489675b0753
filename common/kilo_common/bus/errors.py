"""What can go wrong on the bus.

BusError
├── BusUnavailable      the broker does not answer, or did not confirm in time
├── NoRoute             nobody listens at that address
├── CallTimeout         no answer within the time-out; the method may have run
├── EnvelopeInvalid     the message is not in a form we read
├── RemoteError         the method ran and failed: code, message, details of the other side
└── dispatch errors     NoSuchMethod, UnsupportedVersion, ArgumentsInvalid
"""

from typing import Any

from kilo_common.errors import Conflict, Failure, InvalidInput, NotFound, Unavailable


class BusUnavailable(Unavailable):
    code = "bus.unavailable"


class NoRoute(NotFound):
    code = "bus.no_route"


class CallTimeout(Unavailable):
    code = "bus.call_timeout"


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
