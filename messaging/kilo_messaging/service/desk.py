"""What every operation works with, and the checks that several of them make."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource
from kilo_common.policy import Policy
from kilo_messaging.config import LimitSettings
from kilo_messaging.domain.topic import TopicBounds, TopicKey, check_name
from kilo_messaging.errors import LimitExceeded, ProjectInvalid
from kilo_messaging.storage.base import Stores

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Desk:
    """The collaborators of the operations."""

    stores: Stores
    policy: Policy
    limits: LimitSettings
    clock: Clock
    new_id: IdSource
    can_encrypt: bool = False
    """Whether there is a key to encrypt bodies with."""

    def now(self) -> datetime:
        """The time that an operation takes for its own; one operation asks once."""
        return self.clock.now()

    @property
    def bounds(self) -> TopicBounds:
        """What a topic's reserved keys may hold."""
        limits = self.limits
        return TopicBounds(
            min_ttl=limits.min_ttl,
            max_ttl=limits.max_ttl,
            default_ttl=limits.default_ttl,
            max_delay=limits.max_delay,
            post=limits.post,
            can_encrypt=self.can_encrypt,
        )

    def permit(self, context: RequestContext, rule: str) -> None:
        """Return if the caller may do what `rule` guards in their own project.

        Raises:
            PolicyForbids: they may not.
        """
        self.policy.enforce(context, rule, {"project_id": context.project_id})

    def key(self, context: RequestContext, name: str) -> TopicKey:
        """The caller's topic of that name.

        Raises:
            NameInvalid: no topic can be called so.
        """
        return TopicKey(project_of(context), check_name(name))

    def page_size(self, limit: int | None) -> int:
        """How many to give to a client who asked for `limit`.

        Raises:
            LimitExceeded: fewer than one, or more than a page.
        """
        if limit is None:
            return min(self.limits.default_page, self.limits.page)
        return within("limit", limit, 1, self.limits.page)

    def wait_time(self, wait: int) -> int:
        """How many seconds a client waits for messages who asked for `wait`.

        Raises:
            LimitExceeded: longer than anybody may.
        """
        return within("wait", wait, 0, self.limits.max_wait)


def project_of(context: RequestContext) -> str:
    """The caller's project; the empty one where the identity service names none.

    Raises:
        ProjectInvalid: it holds characters that no project has.
    """
    project = context.project_id or ""
    if not project.isprintable():
        raise ProjectInvalid("The project holds characters that cannot be printed")
    return project


def within(name: str, value: Number, low: int, high: int) -> Number:
    """`value`, if it lies in its range.

    Raises:
        LimitExceeded: it does not.
    """
    if not low <= value <= high:
        raise LimitExceeded(
            f"{name} must be from {low} to {high}", name=name, value=value, low=low, high=high
        )
    return value
