"""What a message store does, in three interfaces that one driver implements together.

Every driver passes `tests/contracts/message_store.py`. A driver raises nothing of its own or its
client library's: besides the errors named here only `kilo_common.errors.Unavailable` (the store
does not answer) can come out of any verb. Once a verb that changes something has returned, the
change survives kill -9 and power loss, unless the driver says that it keeps nothing.

A topic that does not exist has no messages and no claims: verbs that take its key find nothing
there, and those that add something make it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message
from kilo_messaging.domain.topic import Metadata, Topic, TopicKey
from kilo_messaging.storage.placement_base import PlacementStore
from kilo_messaging.storage.subscription_base import DeliveryStore, SubscriptionStore

Prepare = Callable[[Topic], Sequence[Message]]
"""Makes the messages to post, given the topic; pure, and may be called more than once."""
Change = Callable[[Metadata], dict[str, Any]]
"""Makes a topic's new metadata out of the old; pure, and may be called more than once."""


class TopicStore(ABC):
    """Topics by project and name."""

    @abstractmethod
    def create(self, key: TopicKey, metadata: Metadata, now: datetime) -> bool:
        """Make the topic; False, and nothing changes, if there is one."""

    @abstractmethod
    def get(self, key: TopicKey) -> Topic | None:
        """The topic, or None."""

    @abstractmethod
    def page(self, project_id: str, *, after: str, limit: int) -> list[Topic]:
        """The project's topics by name, those greater than `after` (`""`: from the first).

        Names compare by their bytes. `after` need not exist.
        """

    @abstractmethod
    def count(self, project_id: str) -> int:
        """How many topics the project has."""

    @abstractmethod
    def update(self, key: TopicKey, change: Change, now: datetime) -> Topic:
        """Give the topic the metadata that `change` makes; a missing topic is made first.

        Two updates at once take effect one after the other. What `change` raises comes out, and
        then nothing is changed.
        """

    @abstractmethod
    def delete(self, key: TopicKey) -> None:
        """Remove the topic with its messages and claims; a missing one is no error.

        Its messages are out of sight at once; `MessageStore.sweep` removes them. A topic made
        later under the same name is empty.
        """


class Page(msgspec.Struct, frozen=True):
    """Which messages to list."""

    limit: int
    after: int = 0
    """Only those with a greater position."""
    claimed: bool = False
    """Also those that somebody has claimed."""
    delayed: bool = False
    """Also those that are held back."""
    not_from: str | None = None
    """Leave out what this client posted."""


@dataclass(frozen=True)
class Stats:
    """How a topic stands. Expired messages do not count; delayed ones count as free."""

    free: int = 0
    claimed: int = 0
    oldest: Message | None = None
    newest: Message | None = None

    @property
    def total(self) -> int:
        """All messages."""
        return self.free + self.claimed


WINDOW = timedelta(minutes=5)


class Posted(msgspec.Struct, frozen=True):
    """What came of a post."""

    ids: list[str]
    """One for each message that was prepared: its own, or that of the message it repeats."""
    added: list[Message]
    """Those that are in the topic now and were not before."""
    recorded: bool = False
    """Whether some of them are to be delivered to subscribers."""


class Post(msgspec.Struct, frozen=True):
    """One caller's post; what the fields mean says `MessageStore.post`."""

    key: TopicKey
    prepare: Prepare
    now: datetime
    once: str | None = None
    window: timedelta = WINDOW


Outcome = Posted | Exception | None
"""What was posted, None where its key was used before, or why it was not."""


@dataclass(frozen=True)
class Found:
    """A stretch of a topic, for who follows it."""

    began: datetime | None
    """When the topic was made; None if there is none."""
    end: int
    """The position of the last message in the stretch; where it is empty, where it began."""
    messages: list[Message]


class MessageStore(ABC):
    """Messages of a topic, in the order of their posting.

    On a topic that keeps order (`Topic.ordering`), a message is ready only if no earlier one of
    its lane (`Topic.lane`) is claimed or held back. What is claimed or popped together may follow
    one another in a lane. On a topic with priorities, the oldest of the highest priority counts as
    the oldest of all wherever messages are handed out; lists keep the order of posting.

    Positions become visible in their order, whoever posts: a page that begins behind the last
    message seen misses nothing.
    """

    @abstractmethod
    def post(
        self,
        key: TopicKey,
        prepare: Prepare,
        now: datetime,
        *,
        once: str | None = None,
        window: timedelta = WINDOW,
    ) -> Posted | None:
        """Add the messages that `prepare` makes for the topic; a missing topic is made first.

        All are kept or none, but a message whose `dedup_id` was posted to the topic within
        `window`, by this very call too, is not added. With `once`, a key of the caller's, nothing
        is posted and None is returned if something was posted with the same key before and `sweep`
        has not forgotten it.
        """

    def post_all(self, posts: Sequence[Post]) -> list[Outcome]:
        """Make several posts in their order, each for itself as `post` does; one outcome for each.

        A driver that commits may do so once for all of them.
        """
        return [self._outcome(post) for post in posts]

    def _outcome(self, post: Post) -> Outcome:
        try:
            return self.post(post.key, post.prepare, post.now, once=post.once, window=post.window)
        except Exception as fault:  # noqa: BLE001 - it is this post's alone, and its caller's
            return fault

    @abstractmethod
    def put(
        self, key: TopicKey, messages: Sequence[Message], claims: Sequence[Claim], now: datetime
    ) -> None:
        """Add messages of another store, behind all others, as they are; a missing topic is made.

        Those that somebody holds stay theirs: `claims` has the claims that they name. One that is
        there already is left out. Nothing is recorded for subscribers.
        """

    @abstractmethod
    def page(self, key: TopicKey, page: Page, now: datetime) -> list[Message]:
        """A page of unexpired messages, oldest first.

        Its cost depends on the page, not on how many messages lie before or behind it.
        """

    @abstractmethod
    def follow(self, key: TopicKey, after: int | None, limit: int, now: datetime) -> Found:
        """The oldest `limit` unexpired messages behind position `after`, whatever their state.

        With None for `after`, none, and `end` is the position of the newest one (0: there is
        none). What is in the topic all the while is found, whoever claims or releases it meanwhile.
        A topic that is deleted and made anew has another `began`, and its positions may begin anew.
        """

    @abstractmethod
    def get(self, key: TopicKey, ids: Sequence[str], now: datetime) -> list[Message]:
        """The unexpired messages with these ids, oldest first; unknown ids are left out."""

    @abstractmethod
    def delete(self, key: TopicKey, message_id: str, claim_id: str | None, now: datetime) -> None:
        """Remove one message, as who holds `claim_id`; a missing or expired one is no error.

        Raises:
            ClaimInvalid, MessageClaimed: as `domain.message.check_deletable`.
        """

    @abstractmethod
    def delete_many(self, key: TopicKey, ids: Sequence[str], now: datetime) -> None:
        """Remove the messages with these ids, claimed or not; unknown ids are no error."""

    @abstractmethod
    def pop(self, key: TopicKey, limit: int, now: datetime) -> list[Message]:
        """Remove the oldest ready messages and return them; no two callers get the same one."""

    @abstractmethod
    def purge(self, key: TopicKey, now: datetime) -> None:
        """Remove all messages but the claimed ones, in steps that hold nobody up.

        What is posted meanwhile may stay: it ends even if somebody posts all the time.
        """

    @abstractmethod
    def redrive(self, key: TopicKey, now: datetime) -> dict[TopicKey, int]:
        """Send the topic's dead letters back to where they came from; how many to which topic.

        There they are the newest, in their old order, and live as long as they did, anew; a
        missing topic is made. What is claimed or held back stays, and what did not come as a dead
        letter. In steps, and bounded, as `purge`.
        """

    @abstractmethod
    def stats(self, key: TopicKey, now: datetime) -> Stats:
        """How the topic stands."""

    @abstractmethod
    def sweep(self, now: datetime, limit: int, forget_keys: datetime) -> int:
        """Remove up to `limit` things that nobody can see any more; how many there were.

        These are expired messages and claims, what deleted topics left behind, and the keys
        given as `once` before `forget_keys`.
        """


class ClaimStore(ABC):
    """Claims on messages of a topic."""

    @abstractmethod
    def create(self, key: TopicKey, claim: Claim, limit: int) -> list[Message]:
        """Claim the oldest ready messages, at most `limit`, as of `claim.created_at`.

        Where there are none, there is no claim. While it lives nobody else gets these messages;
        each lives until `claim.messages_live_until` at least and counts one more claim. Messages
        that were claimed too often by their topic's rule become dead letters instead.
        The cost does not depend on how many messages there are, claimed or ready.
        """

    @abstractmethod
    def get(
        self, key: TopicKey, claim_id: str, now: datetime
    ) -> tuple[Claim, list[Message]] | None:
        """The claim and the messages it still holds, oldest first; None if it does not live."""

    @abstractmethod
    def update(self, key: TopicKey, claim_id: str, ttl: int, grace: int, now: datetime) -> bool:
        """Begin the claim anew, with its messages; False if it does not live."""

    @abstractmethod
    def release(self, key: TopicKey, claim_id: str, now: datetime) -> None:
        """End the claim: its messages are ready at once; a claim that does not live is no error."""


@dataclass(frozen=True)
class Stores:
    """The sides of one driver."""

    topics: TopicStore
    messages: MessageStore
    claims: ClaimStore
    subscriptions: SubscriptionStore
    deliveries: DeliveryStore
    placements: PlacementStore
    check: Callable[[], None]
    """Returns if the store answers.

    Raises:
        Unavailable: it does not.
    """
    bring: Callable[[TopicKey, datetime], None] = lambda _key, _now: None
    """Bring what a topic's store has taken out of it for another topic, and not yet put there.

    Where a driver moves messages in one step there is never anything.
    """
    close: Callable[[], None] = lambda: None
    """Let go of what the driver holds; nothing may be asked of it any more."""
