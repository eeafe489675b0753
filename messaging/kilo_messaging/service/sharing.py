"""Pre-signed URLs: who may use a topic gives somebody else a part of that, for a while."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from kilo_common.clock import iso8601
from kilo_common.context import RequestContext
from kilo_common.http.auth import AuthStrategy, Identity
from kilo_messaging.domain.signed_url import HEADER, SignedUrl, check_signature
from kilo_messaging.errors import LimitExceeded
from kilo_messaging.service.desk import Desk, project_of

SIGNED_USER = "signed-url"
DEFAULT_LIFE = timedelta(days=1)
GetKey = Callable[[], bytes]


class ShareOperations:
    """What a client may hand on."""

    def __init__(self, desk: Desk, get_key: GetKey) -> None:
        self._desk = desk
        self._get_key = get_key

    def share(
        self,
        context: RequestContext,
        topic_name: str,
        base: str,
        *,
        paths: Sequence[str],
        methods: Sequence[str],
        expires: datetime | None = None,
    ) -> tuple[SignedUrl, str]:
        """Sign the topic's `paths` (below `base`) for these methods; also the signature.

        Raises:
            NameInvalid: no topic can be called so.
            LimitExceeded: it would have expired already.
        """
        desk = self._desk
        desk.permit(context, "queues:share")
        key = desk.key(context, topic_name)
        now = desk.now()
        signed = SignedUrl(
            project_id=project_of(context),
            paths=tuple(f"{base}/{key.name}/{path}" for path in dict.fromkeys(paths)),
            methods=tuple(dict.fromkeys(methods)),
            expires=iso8601(_end(expires, now)),
        )
        return signed, signed.signature(self._get_key())


class SignedOrKnown:
    """An auth strategy: a signed URL needs no token; all other requests are `others`'s."""

    def __init__(self, others: AuthStrategy, get_key: GetKey, now: Callable[[], datetime]) -> None:
        self._others = others
        self._get_key = get_key
        self._now = now
        self.challenge = others.challenge

    def authenticate(self, headers: Mapping[str, str]) -> Identity:
        """The caller's identity. What a signed URL covers is checked where the path is known.

        Raises:
            SignatureInvalid: there is a signature, and it does not hold.
            What the strategy for others raises.
        """
        if HEADER not in headers:
            return self._others.authenticate(headers)
        signed = check_signature(headers, self._get_key(), self._now())
        return Identity(signed.project_id, SIGNED_USER, ())


def _end(expires: datetime | None, now: datetime) -> datetime:
    if expires is None:
        return now + DEFAULT_LIFE
    try:
        end = expires.astimezone(UTC) if expires.tzinfo else expires.replace(tzinfo=UTC)
    except OverflowError:
        raise LimitExceeded("expires is beyond all time", name="expires") from None
    if end <= now:
        raise LimitExceeded("expires must lie in the future", name="expires")
    return end
