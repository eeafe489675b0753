"""What can go wrong on the way to a URL that a user gave.

InvalidInput
├── FetchRefused     the URL, or where it leads, is not allowed; the same again is refused again
└── TooLarge
    └── FetchTooLarge  more bytes than the policy lets in
Unavailable
└── FetchFailed      it is allowed, and does not answer as hoped; `details["status"]` if it answered
"""

from kilo_common import errors


class FetchRefused(errors.InvalidInput):
    code = "fetch.refused"


class FetchTooLarge(errors.TooLarge):
    code = "fetch.too_large"


class FetchFailed(errors.Unavailable):
    code = "fetch.failed"
