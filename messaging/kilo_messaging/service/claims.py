"""Operations on claims."""

from dataclasses import dataclass
from datetime import datetime

from kilo_common.context import RequestContext
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message
from kilo_messaging.errors import ClaimNotFound
from kilo_messaging.service.arrivals import Arrivals, Ending, never
from kilo_messaging.service.desk import Desk, within


@dataclass(frozen=True)
class HeldClaim:
    """A claim with its messages, as of `now`."""

    claim: Claim
    messages: list[Message]
    now: datetime


class ClaimOperations:
    """What a client may do with claims."""

    def __init__(self, desk: Desk, arrivals: Arrivals) -> None:
        self._desk = desk
        self._arrivals = arrivals

    def create(
        self,
        context: RequestContext,
        topic_name: str,
        *,
        ttl: int | None = None,
        grace: int | None = None,
        limit: int | None = None,
        wait: int = 0,
        ending: Ending = never,
    ) -> HeldClaim | None:
        """Claim the oldest messages that nobody has; None if there are none for `wait` seconds.

        Raises:
            LimitExceeded: a number is out of its range.
        """
        desk = self._desk
        desk.permit(context, "claims:create")
        key = desk.key(context, topic_name)
        lasts, longer = self._spans(ttl, grace)
        size = desk.page_size(limit)

        def look() -> HeldClaim | None:
            now = desk.now()
            claim = Claim(id=desk.new_id(), ttl=lasts, grace=longer, created_at=now)
            messages = desk.stores.claims.create(key, claim, size)
            return HeldClaim(claim, messages, now) if messages else None

        return self._arrivals.first(key, look, desk.wait_time(wait), ending)

    def get(self, context: RequestContext, topic_name: str, claim_id: str) -> HeldClaim:
        """A claim and the messages that it still holds.

        Raises:
            ClaimNotFound: there is none, or it has ended.
        """
        desk = self._desk
        desk.permit(context, "claims:get")
        now = desk.now()
        found = desk.stores.claims.get(desk.key(context, topic_name), claim_id, now)
        if found is None:
            raise _not_found(claim_id)
        return HeldClaim(*found, now)

    def update(
        self,
        context: RequestContext,
        topic_name: str,
        claim_id: str,
        *,
        ttl: int | None = None,
        grace: int | None = None,
    ) -> None:
        """Begin a claim anew.

        Raises:
            ClaimNotFound: there is none, or it has ended.
            LimitExceeded: a number is out of its range.
        """
        desk = self._desk
        desk.permit(context, "claims:update")
        key = desk.key(context, topic_name)
        lasts, grace = self._spans(ttl, grace)
        if not desk.stores.claims.update(key, claim_id, lasts, grace, desk.now()):
            raise _not_found(claim_id)

    def release(self, context: RequestContext, topic_name: str, claim_id: str) -> None:
        """Give a claim's messages back; one that has ended is no error."""
        desk = self._desk
        desk.permit(context, "claims:delete")
        key = desk.key(context, topic_name)
        desk.stores.claims.release(key, claim_id, desk.now())
        self._arrivals.ring(key)

    def _spans(self, ttl: int | None, grace: int | None) -> tuple[int, int]:
        limits = self._desk.limits
        lasts = limits.default_claim if ttl is None else ttl
        more = limits.default_grace if grace is None else grace
        return (
            within("ttl", lasts, limits.min_claim, limits.max_claim),
            within("grace", more, limits.min_grace, limits.max_grace),
        )


def _not_found(claim_id: str) -> ClaimNotFound:
    return ClaimNotFound("There is no such claim, or it has ended", claim_id=claim_id)
