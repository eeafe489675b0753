"""Operations on subscriptions that are kept."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from kilo_common.context import RequestContext
from kilo_messaging.domain.delivery import Attempt, Delivery
from kilo_messaging.domain.subscription import Subscription, SubscriptionState
from kilo_messaging.domain.subscription_options import (
    given_secret,
    read_options,
    shown_options,
)
from kilo_messaging.domain.topic import TopicKey
from kilo_messaging.domain.webhook_signature import SigningKey, check_secret, new_secret
from kilo_messaging.errors import (
    DeliveryNotFound,
    SubscriptionNotFound,
)
from kilo_messaging.service.desk import Desk, within
from kilo_messaging.service.subscriber_rules import SubscriberRules, Subscribers
from kilo_messaging.storage.subscription_base import DeliveryStore, SubscriptionStore

DEFAULT_TTL = 3600
KEEP_OLD_KEY = 86400
LONGEST_KEEP = 30 * 86400
PAGE_OF_LOG = 100
PURGED_AT_ONCE = 100


@dataclass(frozen=True)
class Hooks:
    """What others do when something happens to a subscription."""

    ask: Callable[[Subscription, bool], None]
    """Ask the subscriber to confirm, or (False) tell it how to come back. Returns at once."""
    wake: Callable[[], None]
    """There may be something to deliver. Returns at once."""


@dataclass(frozen=True)
class Changes:
    """What a client wants changed; None: as it is."""

    subscriber: str | None = None
    ttl: int | None = None
    options: Mapping[str, Any] | None = None
    state: SubscriptionState | None = None


class SubscriptionOperations:
    """What a client may do with subscriptions."""

    def __init__(self, desk: Desk, rules: SubscriberRules, hooks: Hooks) -> None:
        self._desk = desk
        self._rules = rules
        self._subscribers = Subscribers(desk, rules)
        self._hooks = hooks

    def create(
        self,
        context: RequestContext,
        topic_name: str,
        *,
        subscriber: str,
        ttl: int | None = None,
        options: Mapping[str, Any] | None = None,
        token: str = "",
    ) -> Subscription:
        """Subscribe somebody to a topic; one who has not confirmed yet is asked again.

        `token` is the caller's, for a subscriber that wants a trust.

        Raises:
            TrustRefused: the caller may not trust this service.
            SubscriptionInvalid, FetchRefused, LimitExceeded: what was asked for cannot be.
            SubscriptionExists: the subscriber is subscribed.
        """
        desk = self._desk
        desk.permit(context, "subscription:create")
        key = desk.key(context, topic_name)
        given = dict(options or {})
        now = desk.now()
        asks = self._subscribers.check(key, subscriber) and self._rules.require_confirmation
        given |= self._subscribers.trust(context, key, subscriber, given, token)
        made = Subscription(
            id=desk.new_id(),
            key=key,
            subscriber=subscriber,
            ttl=self._life(ttl),
            options=read_options(given),
            given=shown_options(given),
            created_at=now,
            state=SubscriptionState.UNCONFIRMED if asks else SubscriptionState.ACTIVE,
            signing_keys=(SigningKey(secret=given_secret(given) or new_secret()),),
        )
        kept = self._kept.create(made, now)
        if asks:
            self._hooks.ask(kept, True)
        return kept

    def page(
        self,
        context: RequestContext,
        topic_name: str,
        *,
        marker: str = "",
        limit: int | None = None,
    ) -> Sequence[Subscription]:
        """A topic's subscriptions by id, those after `marker`.

        Raises:
            LimitExceeded: `limit` is not a page's.
        """
        desk = self._desk
        desk.permit(context, "subscription:get_all")
        key, size = desk.key(context, topic_name), desk.page_size(limit)
        return self._kept.page(key, after=marker, limit=size, now=desk.now())

    def get(self, context: RequestContext, topic_name: str, subscription_id: str) -> Subscription:
        """One subscription.

        Raises:
            SubscriptionNotFound: there is none.
        """
        self._desk.permit(context, "subscription:get")
        return self._find(self._desk.key(context, topic_name), subscription_id)

    def update(
        self,
        context: RequestContext,
        topic_name: str,
        subscription_id: str,
        changes: Changes,
        *,
        token: str = "",
    ) -> Subscription:
        """Change a subscription; with a new ttl its life begins anew. What it is then.

        Raises:
            SubscriptionNotFound: there is none.
            SubscriptionInvalid, FetchRefused, LimitExceeded, SubscriptionExists,
            SubscriptionStateConflict: nothing was changed.
        """
        desk = self._desk
        desk.permit(context, "subscription:update")
        key = desk.key(context, topic_name)
        now = desk.now()
        asks = False
        if changes.subscriber is not None:
            asks = self._subscribers.check(key, changes.subscriber)
        if changes.subscriber is not None or changes.options is not None:
            before = self._find(key, subscription_id)
            given = before.given if changes.options is None else changes.options
            trust = self._subscribers.trust(
                context, key, changes.subscriber or before.subscriber, given, token
            )
            if trust:
                changes = replace(changes, options={**given, **trust})

        def change(old: Subscription) -> Subscription:
            new = self._changed(old, changes, now)
            if asks and self._rules.require_confirmation and new.subscriber != old.subscriber:
                new = new.move(SubscriptionState.UNCONFIRMED)
            return new

        kept = self._kept.update(key, subscription_id, change, now)
        if kept is None:
            raise _not_found(subscription_id)
        if kept.state is SubscriptionState.ACTIVE:
            self._hooks.wake()
        elif not kept.confirmed and changes.subscriber is not None:
            self._hooks.ask(kept, True)
        return kept

    def delete(
        self, context: RequestContext, topic_name: str, subscription_id: str, *, token: str = ""
    ) -> None:
        """Remove a subscription; what is on its way to it is dropped. A missing one is no error."""
        desk = self._desk
        desk.permit(context, "subscription:delete")
        key = desk.key(context, topic_name)
        trusts = self._rules.trusts
        old = self._kept.get(key, subscription_id, desk.now()) if trusts else None
        self._kept.delete(key, subscription_id)
        if trusts and old and old.options.trust_id and token:
            trusts.revoke(old.options.trust_id, token)

    def purge(self, context: RequestContext, topic_name: str) -> None:
        """Remove all subscriptions of a topic."""
        desk = self._desk
        desk.permit(context, "queues:purge")
        key = desk.key(context, topic_name)
        while found := self._kept.page(key, after="", limit=PURGED_AT_ONCE, now=desk.now()):
            for each in found:
                self._kept.delete(key, each.id)

    def confirm(
        self, context: RequestContext, topic_name: str, subscription_id: str, *, confirmed: bool
    ) -> None:
        """Take the subscriber's word: it wants messages, or it does not.

        Raises:
            SubscriptionNotFound: there is none.
        """
        desk = self._desk
        desk.permit(context, "subscription:confirm")
        state = SubscriptionState.ACTIVE if confirmed else SubscriptionState.UNCONFIRMED
        key = desk.key(context, topic_name)
        kept = self._kept.update(key, subscription_id, lambda old: old.move(state), desk.now())
        if kept is None:
            raise _not_found(subscription_id)
        if not confirmed:
            self._hooks.ask(kept, False)

    def rotate_key(
        self,
        context: RequestContext,
        topic_name: str,
        subscription_id: str,
        *,
        secret: str | None = None,
        keep_old: int = KEEP_OLD_KEY,
    ) -> Subscription:
        """Sign with another secret from now on, and with the old one for `keep_old` seconds too.

        Raises:
            SubscriptionNotFound, SubscriptionInvalid, LimitExceeded.
        """
        desk = self._desk
        desk.permit(context, "subscription:update")
        within("keep_old", keep_old, 0, LONGEST_KEEP)
        if secret is not None:
            check_secret(secret)
        key, now = desk.key(context, topic_name), desk.now()
        kept = self._kept.update(
            key, subscription_id, lambda old: old.with_new_key(secret, keep_old, now), now
        )
        if kept is None:
            raise _not_found(subscription_id)
        return kept

    def attempts(
        self,
        context: RequestContext,
        topic_name: str,
        subscription_id: str,
        *,
        before: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Attempt]:
        """The log of attempts, newest first.

        Raises:
            SubscriptionNotFound, LimitExceeded.
        """
        self.get(context, topic_name, subscription_id)
        key = self._desk.key(context, topic_name)
        size = within("limit", limit or self._desk.limits.default_page, 1, PAGE_OF_LOG)
        return self._deliveries.attempts(key, subscription_id, before=before, limit=size)

    def pending(
        self,
        context: RequestContext,
        topic_name: str,
        subscription_id: str,
        *,
        failed: bool = False,
        after: int = 0,
        limit: int | None = None,
    ) -> Sequence[Delivery]:
        """What is on its way to the subscriber, or what has failed.

        Raises:
            SubscriptionNotFound, LimitExceeded.
        """
        self.get(context, topic_name, subscription_id)
        key = self._desk.key(context, topic_name)
        size = within("limit", limit or self._desk.limits.default_page, 1, PAGE_OF_LOG)
        return self._deliveries.pending(
            key, subscription_id, failed=failed, after=after, limit=size, now=self._desk.now()
        )

    def redeliver(
        self,
        context: RequestContext,
        topic_name: str,
        subscription_id: str,
        *,
        positions: Collection[int] | None = None,
        since: datetime | None = None,
    ) -> int:
        """Deliver again what has failed: these, or all posted at or after `since`, or all.

        Raises:
            SubscriptionNotFound: there is no such subscription.
            DeliveryNotFound: none of those named has failed.
        """
        desk = self._desk
        desk.permit(context, "subscription:update")
        key, now = desk.key(context, topic_name), desk.now()
        self._find(key, subscription_id)
        count = self._deliveries.redeliver(
            key, subscription_id, now, positions=positions, since=since
        )
        if positions is not None and count == 0:
            raise DeliveryNotFound("None of these deliveries has failed and is still there")
        self._hooks.wake()
        return count

    @property
    def _kept(self) -> SubscriptionStore:
        return self._desk.stores.subscriptions

    @property
    def _deliveries(self) -> DeliveryStore:
        return self._desk.stores.deliveries

    def _find(self, key: TopicKey, subscription_id: str) -> Subscription:
        found = self._kept.get(key, subscription_id, self._desk.now())
        if found is None:
            raise _not_found(subscription_id)
        return found

    def _life(self, ttl: int | None) -> int:
        limits = self._desk.limits
        return within("ttl", DEFAULT_TTL if ttl is None else ttl, limits.min_ttl, limits.max_ttl)

    def _changed(self, old: Subscription, changes: Changes, now: datetime) -> Subscription:
        new = old
        if changes.subscriber is not None:
            new = msgspec.structs.replace(new, subscriber=changes.subscriber)
        if changes.ttl is not None:
            new = msgspec.structs.replace(new, ttl=self._life(changes.ttl), created_at=now)
        if changes.options is not None:
            given = dict(changes.options)
            new = msgspec.structs.replace(
                new, options=read_options(given), given=shown_options(given)
            )
            secret = given_secret(given)
            if secret is not None and secret != old.signing_keys[0].secret:
                new = new.with_new_key(secret, KEEP_OLD_KEY, now)
        if changes.state is not None:
            new = new.move(changes.state)
        return new


def _not_found(subscription_id: str) -> SubscriptionNotFound:
    return SubscriptionNotFound(
        "The topic has no such subscription", subscription_id=subscription_id
    )
