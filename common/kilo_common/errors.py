"""The error tree of the whole project. Every error a client may see has a stable dotted code.

KiloError                    the root: code, message, details
├── InvalidInput             the request is wrong and stays wrong: fix it, then send it again
│   ├── TooLarge             more bytes, items or characters than the limit
│   ├── UnsupportedMedia     a media type or a format we do not read
│   └── RangeNotSatisfiable  bytes were asked for that do not exist
├── Unauthenticated          we do not know who asks
├── Forbidden                we know who asks, and it is not allowed
├── NotFound                 there is no such thing, or none that the caller may know of
├── MethodNotAllowed         the path exists, the method does not
├── NotAcceptable            the client accepts no media type that we produce
├── Conflict                 the thing's present state does not allow it
│   └── PreconditionFailed   it is not, or no longer, in the state the request names
├── TooManyRequests          more than the caller may ask for in a time: try again later
├── Unavailable              something we depend on does not answer: try again later
└── Failure                  a fault of ours

Each package grows its own leaves in its `errors.py`. The HTTP status of an error is decided by its
branch, in one table: `kilo_common.http.status`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class KiloError(Exception):
    """Something went wrong, and a program as well as a person can find out what.

    `code` is stable and never reused for another meaning; `message` is a sentence that says what
    to do next; `details` holds the data behind the sentence (ids, limits, the offending key).
    """

    code: ClassVar[str] = "kilo.error"

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class InvalidInput(KiloError):
    code = "kilo.invalid_input"


class TooLarge(InvalidInput):
    code = "kilo.too_large"


class UnsupportedMedia(InvalidInput):
    code = "kilo.unsupported_media"


class RangeNotSatisfiable(InvalidInput):
    code = "kilo.range_not_satisfiable"


class Unauthenticated(KiloError):
    code = "kilo.unauthenticated"


class Forbidden(KiloError):
    code = "kilo.forbidden"


class NotFound(KiloError):
    code = "kilo.not_found"


class MethodNotAllowed(KiloError):
    code = "kilo.method_not_allowed"


class NotAcceptable(KiloError):
    code = "kilo.not_acceptable"


class Conflict(KiloError):
    code = "kilo.conflict"


class PreconditionFailed(Conflict):
    code = "kilo.precondition_failed"


class TooManyRequests(KiloError):
    code = "kilo.too_many_requests"


class Unavailable(KiloError):
    code = "kilo.unavailable"


class Failure(KiloError):
    code = "kilo.failure"


class ConfigInvalid(KiloError):
    """The configuration names an unknown key or a value that does not fit; nothing was started."""

    code = "common.config.invalid"


class DriverUnknown(ConfigInvalid):
    """No driver has that name."""

    code = "common.driver.unknown"


class DriverUnavailable(ConfigInvalid):
    """The driver exists, but what it needs is not installed."""

    code = "common.driver.unavailable"
