"""What every message store must do: one suite, run against each driver."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import msgspec
import pytest

from kilo_common.testing.clock import FakeClock
from kilo_messaging.domain.claim import Claim
from kilo_messaging.domain.message import Message, new_message
from kilo_messaging.domain.topic import Topic, TopicKey
from kilo_messaging.errors import ClaimInvalid, MessageClaimed
from kilo_messaging.storage.base import Page, Post, Posted, Stats, Stores

KEY = TopicKey("project", "topic")
OTHER = TopicKey("project", "other")
ME = "client-1"
FAR = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


class MessageStoreContract:
    """A driver is tested by a subclass with a fixture `stores`: an empty store."""

    @pytest.fixture
    def stores(self) -> Iterator[Stores]:
        raise NotImplementedError

    def another(self) -> Stores:
        """The same store, as another process opens it; the same object where there is one only."""
        return self.stores

    @pytest.fixture(autouse=True)
    def _set_up(self, stores: Stores) -> None:
        self.stores = stores
        self.clock = FakeClock()
        self._ids = count(1)

    # What the tests say

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def post(
        self,
        *bodies: str,
        key: TopicKey = KEY,
        ttl: int = 3600,
        delay: int = 0,
        client: str = ME,
        once: str | None = None,
        group: str | None = None,
        dedup_id: str | None = None,
        attributes: bytes | None = None,
        priority: int = 0,
        stores: Stores | None = None,
        prefix: str = "message",
    ) -> list[Message] | None:
        posted = self.post_all(
            *bodies,
            key=key,
            ttl=ttl,
            delay=delay,
            client=client,
            once=once,
            group=group,
            dedup_id=dedup_id,
            attributes=attributes,
            priority=priority,
            stores=stores,
            prefix=prefix,
        )
        return None if posted is None else posted.added

    def post_all(
        self,
        *bodies: str,
        key: TopicKey = KEY,
        ttl: int = 3600,
        delay: int = 0,
        client: str = ME,
        once: str | None = None,
        stores: Stores | None = None,
        prefix: str = "message",
        **more: Any,
    ) -> Posted | None:
        def prepare(_topic: Topic) -> list[Message]:
            return [
                new_message(
                    message_id=f"{prefix}-{next(self._ids)}",
                    body=body.encode(),
                    ttl=ttl,
                    delay=delay,
                    client_id=client,
                    now=self.now,
                    **more,
                )
                for body in bodies
            ]

        return (stores or self.stores).messages.post(key, prepare, self.now, once=once)

    def claim(
        self,
        limit: int = 10,
        ttl: int = 60,
        grace: int = 60,
        claim_id: str = "claim",
        key: TopicKey = KEY,
    ) -> list[Message]:
        claim = Claim(id=claim_id, ttl=ttl, grace=grace, created_at=self.now)
        return self.stores.claims.create(key, claim, limit)

    def listed(self, key: TopicKey = KEY, limit: int = 20, **page: object) -> list[str]:
        found = self.stores.messages.page(key, Page(limit=limit, **page), self.now)  # type: ignore[arg-type]
        return bodies(found)

    def stats(self, key: TopicKey = KEY) -> Stats:
        return self.stores.messages.stats(key, self.now)

    def sweep(self, limit: int = 1000) -> int:
        return self.stores.messages.sweep(self.now, limit, FAR)

    # Topics

    # Following

    def followed(self, after: int, limit: int = 20, key: TopicKey = KEY) -> list[str]:
        found = self.stores.messages.follow(key, after, limit, self.now)
        return [message.body.decode() for message in found.messages]

    def test_who_follows_sees_every_message_in_its_order_whatever_its_state(self) -> None:
        self.post('"claimed"', '"ready"')
        self.claim(limit=1)
        self.post('"delayed"', delay=60)
        self.post('"elsewhere"', key=OTHER)
        self.post('"gone"', ttl=60)
        self.post('"last"')
        self.clock.advance(60)
        assert self.followed(0) == ['"claimed"', '"ready"', '"delayed"', '"last"']

    def test_who_follows_goes_on_where_it_was(self) -> None:
        self.post('"1"', '"2"', '"3"')
        first = self.stores.messages.follow(KEY, 0, 2, self.now)
        assert [message.body for message in first.messages] == [b'"1"', b'"2"']
        assert first.end == first.messages[-1].position
        self.post('"4"')
        assert self.followed(first.end) == ['"3"', '"4"']
        assert self.followed(first.end, limit=1) == ['"3"']

    def test_who_follows_from_the_end_sees_only_what_comes(self) -> None:
        self.post('"1"', '"2"')
        self.claim(limit=2)
        end = self.stores.messages.follow(KEY, None, 0, self.now)
        assert end.messages == []
        assert self.stores.messages.follow(KEY, end.end, 20, self.now).end == end.end
        assert self.followed(end.end) == []
        self.post('"3"')
        assert self.followed(end.end) == ['"3"']

    def test_who_follows_knows_one_life_of_a_topic_from_another(self) -> None:
        assert self.stores.messages.follow(KEY, None, 0, self.now).began is None
        assert self.stores.messages.follow(KEY, 7, 20, self.now).messages == []
        began = self.now
        self.post('"1"')
        self.clock.advance(1)
        assert self.stores.messages.follow(KEY, 0, 20, self.now).began == began
        self.stores.topics.delete(KEY)
        self.clock.advance(1)
        self.post('"2"')
        again = self.stores.messages.follow(KEY, 0, 20, self.now)
        assert again.began == self.now
        assert [message.body for message in again.messages] == [b'"2"']

    def test_several_posts_are_each_for_itself(self) -> None:
        def prepare(body: bytes) -> Callable[[Topic], list[Message]]:
            made = new_message(
                message_id=f"m-{next(self._ids)}",
                body=body,
                ttl=60,
                delay=0,
                client_id=ME,
                now=self.now,
            )
            return lambda _topic: [made]

        def refuse(_topic: Topic) -> list[Message]:
            raise ClaimInvalid("no")

        posts = [
            Post(KEY, prepare(b"1"), self.now, once="k"),
            Post(KEY, refuse, self.now),
            Post(KEY, prepare(b"2"), self.now, once="k"),
            Post(OTHER, prepare(b"3"), self.now),
            Post(KEY, prepare(b"4"), self.now),
        ]
        first, refused, known, other, last = self.stores.messages.post_all(posts)
        assert isinstance(refused, ClaimInvalid)
        assert known is None
        assert all(isinstance(each, Posted) for each in (first, other, last))
        assert self.followed(0) == ["1", "4"]
        assert self.followed(0, key=OTHER) == ["3"]

    def test_a_topic_is_made_once_and_keeps_its_first_metadata(self) -> None:
        assert self.stores.topics.create(KEY, {"a": 1}, self.now) is True
        assert self.stores.topics.create(KEY, {"a": 2}, self.now) is False
        topic = self.stores.topics.get(KEY)
        assert topic is not None
        assert (topic.key, topic.metadata, topic.created_at) == (KEY, {"a": 1}, self.now)

    def test_a_topic_that_was_never_made_is_none_and_empty(self) -> None:
        assert self.stores.topics.get(KEY) is None
        assert self.listed() == []
        assert self.stats() == Stats()
        assert self.claim() == []
        assert self.stores.messages.pop(KEY, 5, self.now) == []
        assert self.stores.messages.get(KEY, ["x"], self.now) == []
        assert self.stores.claims.get(KEY, "x", self.now) is None
        self.stores.messages.delete(KEY, "x", None, self.now)
        self.stores.messages.delete_many(KEY, ["x"], self.now)
        self.stores.messages.purge(KEY, self.now)
        self.stores.topics.delete(KEY)
        assert self.stores.topics.get(KEY) is None

    def test_topics_are_listed_by_name_in_pages_and_per_project(self) -> None:
        for name in ("b", "a", "B", "c"):
            self.stores.topics.create(TopicKey("project", name), {}, self.now)
        self.stores.topics.create(TopicKey("elsewhere", "x"), {}, self.now)
        page = self.stores.topics.page("project", after="", limit=3)
        assert [topic.key.name for topic in page] == ["B", "a", "b"]
        rest = self.stores.topics.page("project", after="b", limit=3)
        assert [topic.key.name for topic in rest] == ["c"]
        assert self.stores.topics.page("project", after="zzz", limit=3) == []
        assert self.stores.topics.count("project") == 4
        assert self.stores.topics.count("nobody") == 0

    def test_names_and_projects_differ_by_case(self) -> None:
        self.post('"lower"', key=TopicKey("p", "name"))
        self.post('"upper"', key=TopicKey("P", "NAME"))
        assert self.listed(TopicKey("p", "name")) == ['"lower"']
        assert self.listed(TopicKey("P", "NAME")) == ['"upper"']
        assert self.listed(TopicKey("p", "NAME")) == []

    def test_metadata_is_changed_and_a_missing_topic_is_made(self) -> None:
        made = self.stores.topics.update(KEY, lambda old: {**old, "a": 1}, self.now)
        assert made.metadata == {"a": 1}
        self.stores.topics.update(KEY, lambda old: {**old, "ü": [None]}, self.now)
        topic = self.stores.topics.get(KEY)
        assert topic is not None
        assert topic.metadata == {"a": 1, "ü": [None]}

    def test_a_change_that_fails_changes_nothing(self) -> None:
        def refuse(_old: object) -> dict[str, object]:
            raise ClaimInvalid("no")

        with pytest.raises(ClaimInvalid):
            self.stores.topics.update(KEY, refuse, self.now)
        assert self.stores.topics.get(KEY) is None

    def test_a_deleted_topic_takes_its_messages_and_claims_with_it(self) -> None:
        self.post("1", "2")
        self.claim(limit=1)
        self.stores.topics.delete(KEY)
        assert self.listed(claimed=True) == []
        self.stores.topics.create(KEY, {}, self.now)
        assert self.listed(claimed=True) == []
        assert self.stores.claims.get(KEY, "claim", self.now) is None
        while self.sweep():
            pass
        assert self.stats() == Stats()

    # Posting and listing

    def test_messages_come_back_as_they_were_posted_and_in_order(self) -> None:
        raw = ['{ "b" : [1e5, 12345678901234567890123]}', "null", '"\\u00fc ü"']
        posted = self.post(*raw)
        assert posted is not None
        assert self.listed() == raw
        (found,) = self.stores.messages.get(KEY, [posted[1].id], self.now)
        assert (found.ttl, found.client_id, found.created_at, found.claim_count) == (
            3600,
            ME,
            self.now,
            0,
        )

    def test_a_body_of_a_quarter_megabyte_survives(self) -> None:
        body = '"' + "x" * 262_000 + '"'
        self.post(body)
        assert self.listed() == [body]

    def test_a_post_that_fails_leaves_nothing(self) -> None:
        def refuse(_topic: Topic) -> list[Message]:
            raise ClaimInvalid("no")

        with pytest.raises(ClaimInvalid):
            self.stores.messages.post(KEY, refuse, self.now)
        assert self.stores.topics.get(KEY) is None

    def test_what_is_posted_knows_its_topic(self) -> None:
        self.stores.topics.create(KEY, {"a": 1}, self.now)
        seen: list[Topic] = []
        self.stores.messages.post(KEY, lambda topic: seen.append(topic) or [], self.now)
        assert seen[0].key == KEY
        assert seen[0].metadata == {"a": 1}

    def test_pages_follow_one_another_even_when_the_last_message_is_gone(self) -> None:
        self.post("1", "2", "3", "4", "5")
        first = self.stores.messages.page(KEY, Page(limit=2), self.now)
        self.stores.messages.delete_many(KEY, [first[-1].id], self.now)
        assert self.listed(limit=2, after=first[-1].position) == ["3", "4"]

    def test_a_client_can_leave_out_its_own(self) -> None:
        self.post("1", client="a")
        self.post("2", client="b")
        assert self.listed(not_from="a") == ["2"]

    def test_messages_are_found_by_id_within_their_topic_only(self) -> None:
        posted = self.post("1", "2", "3")
        assert posted is not None
        wanted = [posted[2].id, posted[0].id, "unknown"]
        assert bodies(self.stores.messages.get(KEY, wanted, self.now)) == ["1", "3"]
        self.post("4", key=OTHER)
        assert self.stores.messages.get(OTHER, wanted, self.now) == []

    def test_a_key_posts_once(self) -> None:
        assert self.post("1", once="event") is not None
        assert self.post("1", once="event") is None
        assert self.post("2", once="another") is not None
        assert self.listed() == ["1", "2"]

    def test_a_key_is_forgotten_by_the_sweep(self) -> None:
        self.post("1", once="event")
        self.clock.advance(100)
        assert self.stores.messages.sweep(self.now, 10, self.now - timedelta(seconds=200)) == 0
        assert self.post("2", once="event") is None
        assert self.stores.messages.sweep(self.now, 10, self.now) == 1
        assert self.post("3", once="event") is not None

    # Time

    def test_an_expired_message_is_out_of_sight_at_once(self) -> None:
        posted = self.post("1", ttl=60)
        assert posted is not None
        self.post("2", ttl=120)
        self.clock.advance(60)
        assert self.listed(claimed=True, delayed=True) == ["2"]
        assert self.stores.messages.get(KEY, [posted[0].id], self.now) == []
        assert self.stats().total == 1
        assert bodies(self.claim()) == ["2"]

    def test_a_delayed_message_comes_later_and_in_its_place(self) -> None:
        self.post("1", delay=30)
        self.post("2")
        assert self.listed() == ["2"]
        assert self.listed(delayed=True) == ["1", "2"]
        assert self.stats().free == 2
        self.clock.advance(30)
        assert self.listed() == ["1", "2"]
        assert bodies(self.claim()) == ["1", "2"]

    def test_the_sweep_removes_what_expired_in_batches(self) -> None:
        self.post(*"12345", ttl=60)
        self.post("6", ttl=600)
        self.claim(limit=1, grace=0)
        self.clock.advance(60)
        assert self.sweep(limit=4) == 4
        assert self.sweep(limit=4) == 2
        assert self.sweep(limit=4) == 0
        assert self.listed() == ["6"]

    # Deleting

    def test_a_message_is_deleted_once_and_again_without_harm(self) -> None:
        posted = self.post("1", "2")
        assert posted is not None
        self.stores.messages.delete(KEY, posted[0].id, None, self.now)
        self.stores.messages.delete(KEY, posted[0].id, None, self.now)
        assert self.listed() == ["2"]

    def test_a_message_of_another_topic_is_not_deleted(self) -> None:
        posted = self.post("1")
        assert posted is not None
        self.post("2", key=OTHER)
        self.stores.messages.delete(OTHER, posted[0].id, None, self.now)
        self.stores.messages.delete_many(OTHER, [posted[0].id], self.now)
        assert self.listed() == ["1"]

    def test_a_claimed_message_is_deleted_only_with_its_claim(self) -> None:
        self.post("1", "2")
        (held,) = self.claim(limit=1, claim_id="mine")
        self.claim(limit=1, claim_id="theirs")
        with pytest.raises(MessageClaimed):
            self.stores.messages.delete(KEY, held.id, None, self.now)
        with pytest.raises(MessageClaimed):
            self.stores.messages.delete(KEY, held.id, "theirs", self.now)
        with pytest.raises(ClaimInvalid):
            self.stores.messages.delete(KEY, held.id, "unknown", self.now)
        self.stores.messages.delete(KEY, held.id, "mine", self.now)
        assert self.stats().total == 1

    def test_a_free_message_is_not_deleted_with_a_claim(self) -> None:
        posted = self.post("1", "2")
        assert posted is not None
        self.claim(limit=1, claim_id="mine")
        with pytest.raises(ClaimInvalid):
            self.stores.messages.delete(KEY, posted[1].id, "mine", self.now)

    def test_a_claim_that_ended_deletes_nothing(self) -> None:
        self.post("1")
        (held,) = self.claim(ttl=60)
        self.clock.advance(60)
        with pytest.raises(ClaimInvalid):
            self.stores.messages.delete(KEY, held.id, "claim", self.now)
        self.stores.messages.delete(KEY, held.id, None, self.now)
        assert self.stats().total == 0

    def test_many_are_deleted_claimed_or_not(self) -> None:
        posted = self.post("1", "2", "3")
        assert posted is not None
        self.claim(limit=1)
        self.stores.messages.delete_many(KEY, [posted[0].id, posted[2].id, "unknown"], self.now)
        assert self.listed(claimed=True) == ["2"]

    def test_pop_takes_the_oldest_that_nobody_has(self) -> None:
        self.post("1", "2", "3")
        self.claim(limit=1)
        assert bodies(self.stores.messages.pop(KEY, 1, self.now)) == ["2"]
        assert bodies(self.stores.messages.pop(KEY, 9, self.now)) == ["3"]
        assert self.listed(claimed=True) == ["1"]

    def test_purge_leaves_the_claimed(self) -> None:
        self.post("1", "2")
        self.claim(limit=1)
        self.post("3", delay=60)
        self.stores.messages.purge(KEY, self.now)
        assert self.listed(claimed=True, delayed=True) == ["1"]

    def test_purge_ends_though_somebody_posts_all_the_time(self) -> None:
        self.post(*("old" for _ in range(600)))
        purged = threading.Event()

        def keep_posting() -> None:
            while not purged.is_set():
                self.post("new")
                time.sleep(0)  # lets the others run where threads are greenlets

        with ThreadPoolExecutor(1) as poster:
            posting = poster.submit(keep_posting)
            self.stores.messages.purge(KEY, self.now)
            purged.set()
            posting.result()
        assert "old" not in self.listed(limit=1000)

    # Dead letters on their way back

    def bury(self, *posted: str, claim_id: str = "one", **more: Any) -> None:
        """Post, and let all of it become dead letters on OTHER."""
        self.stores.topics.create(
            KEY, {"_max_claim_count": 1, "_dead_letter_queue": "other"}, self.now
        )
        self.post(*posted, **more)
        self.claim(ttl=60, limit=1000, claim_id=claim_id)
        self.clock.advance(60)
        for _batch in range(2):  # one claim moves so many at most
            assert self.claim(claim_id="none") == []

    def test_dead_letters_go_back_where_they_came_from(self) -> None:
        self.bury("1", "2", ttl=600, group="a")
        self.post("3", key=OTHER)
        self.post("4")
        assert self.stores.messages.redrive(OTHER, self.now) == {KEY: 2}
        assert self.listed(OTHER) == ["3"]
        found = self.stores.messages.page(KEY, Page(limit=9), self.now)
        assert bodies(found) == ["4", "1", "2"]
        assert (found[1].claim_count, found[1].source, found[1].group) == (0, None, "a")
        assert found[1].expires_at == self.now + timedelta(seconds=600)
        assert bodies(self.claim(claim_id="again")) == ["4", "1", "2"]
        assert self.stores.messages.redrive(OTHER, self.now) == {}

    def test_a_dead_letter_that_somebody_has_stays(self) -> None:
        self.bury("1", "2")
        assert bodies(self.claim(key=OTHER, limit=1, claim_id="reader")) == ["1"]
        assert self.stores.messages.redrive(OTHER, self.now) == {KEY: 1}
        assert self.listed() == ["2"]
        assert self.listed(OTHER, claimed=True) == ["1"]

    def test_many_dead_letters_go_back_in_their_order(self) -> None:
        numbers = [str(number) for number in range(600)]
        self.bury(*numbers)
        assert self.stores.messages.redrive(OTHER, self.now) == {KEY: 600}
        assert self.listed(limit=2000) == numbers

    def test_in_order_dead_letters_go_back_into_their_lane(self) -> None:
        self.stores.topics.create(OTHER, {"_ordering": "fifo-group"}, self.now)
        rule = {"_max_claim_count": 1, "_dead_letter_queue": "other"}
        self.ordered("fifo", **rule)
        self.bury("1", "2")
        assert bodies(self.claim(key=OTHER, limit=1, claim_id="reader")) == ["1"]
        assert self.stores.messages.redrive(OTHER, self.now) == {KEY: 1}
        assert bodies(self.claim(limit=1, claim_id="second")) == ["2"]
        self.post("3")
        assert self.claim(claim_id="third") == []

    def test_there_is_nothing_to_send_back_from_a_topic_that_never_was(self) -> None:
        assert self.stores.messages.redrive(OTHER, self.now) == {}

    # Claims

    def test_a_claim_takes_the_oldest_and_hides_them(self) -> None:
        self.post("1", "2", "3")
        held = self.claim(limit=2)
        assert bodies(held) == ["1", "2"]
        assert {message.claim_id for message in held} == {"claim"}
        assert self.listed() == ["3"]
        assert self.listed(claimed=True) == ["1", "2", "3"]
        assert bodies(self.claim(claim_id="next")) == ["3"]
        assert self.claim(claim_id="late") == []
        stats = self.stats()
        assert (stats.free, stats.claimed, stats.total) == (0, 3, 3)

    def test_stats_name_the_oldest_and_the_newest(self) -> None:
        self.post("1", "2", "3")
        self.claim(limit=1)
        stats = self.stats()
        assert (stats.free, stats.claimed) == (2, 1)
        assert stats.oldest is not None
        assert stats.newest is not None
        assert bodies([stats.oldest, stats.newest]) == ["1", "3"]
        assert stats.oldest.holder_at(self.now) == "claim"

    def test_no_messages_no_claim(self) -> None:
        assert self.claim() == []
        assert self.stores.claims.get(KEY, "claim", self.now) is None

    def test_after_a_claim_ends_its_messages_come_back_in_their_place(self) -> None:
        self.post("1", "2", "3")
        self.claim(limit=2, ttl=60)
        self.clock.advance(59)
        assert self.listed() == ["3"]
        self.clock.advance(1)
        assert self.stores.claims.get(KEY, "claim", self.now) is None
        assert self.listed() == ["1", "2", "3"]
        again = self.claim(claim_id="second")
        assert bodies(again) == ["1", "2", "3"]
        assert [message.claim_count for message in again] == [2, 2, 1]

    def test_a_released_claim_gives_its_messages_back_at_once(self) -> None:
        self.post("1", "2")
        self.claim()
        self.stores.claims.release(KEY, "claim", self.now)
        self.stores.claims.release(KEY, "claim", self.now)
        assert self.stores.claims.get(KEY, "claim", self.now) is None
        assert self.listed() == ["1", "2"]

    def test_a_claim_keeps_its_messages_alive(self) -> None:
        self.post("1", ttl=60)
        self.post("2", ttl=6000)
        held = self.claim(ttl=100, grace=50)
        assert [message.ttl for message in held] == [150, 6000]
        self.clock.advance(149)
        assert self.listed() == ["1", "2"]
        self.clock.advance(1)
        assert self.listed() == ["2"]

    def test_a_claim_tells_what_it_still_holds(self) -> None:
        self.post("1", "2")
        held = self.claim(ttl=90, grace=70)
        self.stores.messages.delete(KEY, held[0].id, "claim", self.now)
        self.clock.advance(10)
        found = self.stores.claims.get(KEY, "claim", self.now)
        assert found is not None
        claim, messages = found
        assert (claim.ttl, claim.grace, claim.age(self.now)) == (90, 70, 10)
        assert bodies(messages) == ["2"]
        assert self.stores.claims.get(OTHER, "claim", self.now) is None

    def test_a_renewed_claim_begins_anew_with_its_messages(self) -> None:
        self.post("1", ttl=60)
        self.claim(ttl=60, grace=60)
        self.clock.advance(50)
        assert self.stores.claims.update(KEY, "claim", 200, 100, self.now) is True
        self.clock.advance(199)
        assert self.listed() == []
        found = self.stores.claims.get(KEY, "claim", self.now)
        assert found is not None
        assert found[0].age(self.now) == 199
        self.clock.advance(1)
        assert self.listed() == ["1"]
        self.clock.advance(100)
        assert self.listed() == []

    def test_a_claim_that_ended_cannot_be_renewed(self) -> None:
        self.post("1")
        self.claim(ttl=60)
        self.clock.advance(60)
        assert self.stores.claims.update(KEY, "claim", 60, 60, self.now) is False
        assert self.stores.claims.update(KEY, "unknown", 60, 60, self.now) is False

    def test_releasing_an_old_claim_does_not_touch_the_next_one(self) -> None:
        self.post("1")
        self.claim(ttl=60, claim_id="first")
        self.clock.advance(60)
        self.claim(claim_id="second")
        self.stores.claims.release(KEY, "first", self.now)
        assert self.listed() == []

    def test_a_message_claimed_too_often_becomes_a_dead_letter(self) -> None:
        rule = {"_max_claim_count": 2, "_dead_letter_queue": "other"}
        self.stores.topics.create(KEY, {**rule, "_dead_letter_queue_messages_ttl": 500}, self.now)
        self.post("1", ttl=6000)
        for attempt in ("first", "second"):
            assert bodies(self.claim(claim_id=attempt)) == ["1"]
            self.clock.advance(60)
        self.post("2")
        assert bodies(self.claim(claim_id="third", limit=1)) == ["2"]
        assert self.listed(OTHER) == ["1"]
        (letter,) = self.stores.messages.page(OTHER, Page(limit=5), self.now)
        assert (letter.ttl, letter.claim_count) == (500, 0)
        assert self.listed(claimed=True) == ["2"]

    def test_without_a_dead_letter_topic_a_message_may_be_claimed_for_ever(self) -> None:
        self.stores.topics.create(KEY, {"_max_claim_count": 1}, self.now)
        self.post("1")
        for attempt in ("first", "second"):
            assert bodies(self.claim(claim_id=attempt)) == ["1"]
            self.clock.advance(60)

    # Order

    def ordered(self, ordering: str, **metadata: Any) -> None:
        self.stores.topics.create(KEY, {"_ordering": ordering, **metadata}, self.now)

    def test_a_group_waits_for_its_claimed_message_and_others_do_not(self) -> None:
        self.ordered("fifo-group")
        self.post("a1", "a2", "a3", group="a")
        self.post("b1", "b2", group="b")
        assert bodies(self.claim(limit=1, claim_id="first")) == ["a1"]
        assert bodies(self.claim(limit=9, claim_id="second")) == ["b1", "b2"]
        assert self.claim(claim_id="third") == []
        assert self.stores.messages.pop(KEY, 5, self.now) == []
        assert self.listed() == ["a2", "a3"]

    def test_a_claim_may_hold_messages_of_a_group_that_follow_one_another(self) -> None:
        self.ordered("fifo-group")
        self.post("a1", group="a")
        self.post("b1", group="b")
        self.post("a2", group="a")
        assert bodies(self.claim()) == ["a1", "b1", "a2"]

    def test_a_group_goes_on_when_its_claimed_message_is_deleted(self) -> None:
        self.ordered("fifo-group")
        self.post("a1", "a2", "a3", group="a")
        (first,) = self.claim(limit=1, claim_id="first")
        self.stores.messages.delete(KEY, first.id, "first", self.now)
        (second,) = self.claim(limit=1, claim_id="second")
        assert second.body == b"a2"
        self.stores.messages.delete_many(KEY, [second.id], self.now)
        assert bodies(self.claim(claim_id="third")) == ["a3"]

    def test_order_holds_when_a_claim_expires_or_is_released(self) -> None:
        self.ordered("fifo")
        self.post("1", "2", "3")
        assert bodies(self.claim(limit=1, ttl=60, claim_id="first")) == ["1"]
        self.clock.advance(59)
        assert self.claim(claim_id="early") == []
        self.clock.advance(1)
        assert bodies(self.claim(limit=2, ttl=60, claim_id="second")) == ["1", "2"]
        assert self.claim(claim_id="late") == []
        self.stores.claims.release(KEY, "second", self.now)
        assert bodies(self.claim(limit=2, claim_id="third")) == ["1", "2"]

    def test_order_holds_when_a_claim_is_renewed(self) -> None:
        self.ordered("fifo")
        self.post("1", "2")
        self.claim(limit=1, ttl=60, claim_id="first")
        self.clock.advance(30)
        assert self.stores.claims.update(KEY, "first", 60, 60, self.now)
        self.clock.advance(59)
        assert self.claim(claim_id="second") == []
        self.clock.advance(1)
        assert bodies(self.claim(limit=1, claim_id="third")) == ["1"]

    def test_fifo_is_one_order_over_all_groups(self) -> None:
        self.ordered("fifo")
        self.post("1", group="a")
        self.post("2", group="b")
        assert bodies(self.claim(limit=1)) == ["1"]
        assert self.claim(claim_id="second") == []

    def test_messages_without_a_group_are_in_order_together(self) -> None:
        self.ordered("fifo-group")
        self.post("1", "2")
        self.post("a1", group="a")
        assert bodies(self.claim(limit=1)) == ["1"]
        assert bodies(self.claim(claim_id="second")) == ["a1"]

    def test_in_order_a_delayed_message_holds_back_those_behind_it(self) -> None:
        self.ordered("fifo")
        self.post("1", delay=30)
        self.post("2")
        assert self.claim() == []
        self.clock.advance(30)
        assert bodies(self.claim()) == ["1", "2"]

    def test_in_order_an_expired_message_holds_back_nobody(self) -> None:
        self.ordered("fifo")
        self.post("1", ttl=60, delay=300)
        self.post("2")
        assert self.claim() == []
        self.clock.advance(60)
        assert bodies(self.claim(claim_id="second")) == ["2"]

    def test_pop_takes_in_order_and_what_is_left_comes_next(self) -> None:
        self.ordered("fifo-group")
        self.post("a1", "a2", "a3", group="a")
        assert bodies(self.stores.messages.pop(KEY, 2, self.now)) == ["a1", "a2"]
        assert bodies(self.claim(limit=1)) == ["a3"]
        self.post("a4", group="a")
        assert self.stores.messages.pop(KEY, 2, self.now) == []

    def test_in_order_a_dead_letter_makes_room_for_the_next(self) -> None:
        self.ordered("fifo", _max_claim_count=1, _dead_letter_queue="other")
        self.stores.topics.create(OTHER, {"_ordering": "fifo"}, self.now)
        self.post("1", "2")
        assert bodies(self.claim(limit=1, ttl=60, claim_id="first")) == ["1"]
        self.clock.advance(60)
        assert bodies(self.claim(claim_id="second")) == ["2"]
        (letter,) = self.claim(key=OTHER, claim_id="third")
        assert (letter.body, letter.source) == (b"1", "topic")

    def test_in_order_a_purge_makes_room(self) -> None:
        self.ordered("fifo")
        self.post("1", delay=300)
        self.post("2")
        assert self.claim() == []
        self.stores.messages.purge(KEY, self.now)
        self.post("3")
        assert bodies(self.claim()) == ["3"]

    def test_group_order_survives_many_consumers(self) -> None:
        self.ordered("fifo-group")
        groups = "abcdef"
        for number in range(12):
            for group in groups:
                self.post(f"{group}{number:02}", group=group)
        finished: list[str] = []

        def consume(name: int) -> None:
            idle = 0
            for turn in count():
                held = self.claim(limit=2, claim_id=f"{name}-{turn}")
                idle = 0 if held else idle + 1
                if idle > 20:
                    return
                for message in held:
                    finished.append(message.body.decode())
                    self.stores.messages.delete(KEY, message.id, f"{name}-{turn}", self.now)

        with ThreadPoolExecutor(6) as consumers:
            list(consumers.map(consume, range(6)))
        consume(99)
        assert len(finished) == 72
        for group in groups:
            mine = [body for body in finished if body.startswith(group)]
            assert mine == sorted(mine)

    # Priorities

    def test_higher_priorities_are_handed_out_first_and_listed_in_order_of_posting(self) -> None:
        self.stores.topics.create(KEY, {"_priorities": True}, self.now)
        for body, priority in (("a", 0), ("b", 5), ("c", 9), ("d", 0), ("e", 5)):
            self.post(body, priority=priority)
        assert self.listed() == ["a", "b", "c", "d", "e"]
        assert bodies(self.claim(limit=2, claim_id="first")) == ["c", "b"]
        assert bodies(self.stores.messages.pop(KEY, 2, self.now)) == ["e", "a"]
        self.stores.claims.release(KEY, "first", self.now)
        held = self.claim(claim_id="second")
        assert [(each.body, each.priority) for each in held] == [(b"c", 9), (b"b", 5), (b"d", 0)]

    def test_a_priority_waits_for_its_delay_and_survives_an_expired_claim(self) -> None:
        self.stores.topics.create(KEY, {"_priorities": True}, self.now)
        self.post("late", priority=9, delay=30)
        self.post("1", "2")
        assert bodies(self.claim(limit=1, claim_id="first")) == ["1"]
        self.clock.advance(60)
        assert bodies(self.claim(limit=1, claim_id="second")) == ["late"]
        self.clock.advance(60)
        assert bodies(self.claim(claim_id="third")) == ["late", "1", "2"]

    def test_priorities_mean_nothing_where_the_topic_has_none(self) -> None:
        self.post("1")
        self.post("2", priority=9)
        assert bodies(self.claim()) == ["1", "2"]

    # What travels with a message, and deduplication

    def test_group_and_attributes_come_back_as_they_were(self) -> None:
        self.post("1", group="a", attributes=b'{"content-type":"text/\xc3\xbc"}')
        self.post("2")
        first, second = self.claim()
        assert (first.group, first.attributes) == ("a", b'{"content-type":"text/\xc3\xbc"}')
        assert (second.group, second.attributes) == (None, None)

    def test_a_repeated_message_is_not_added_within_the_window(self) -> None:
        first = self.post_all("1", dedup_id="x")
        assert first is not None
        again = self.post_all("2", dedup_id="x")
        assert again is not None
        assert (again.ids, again.added) == (first.ids, [])
        assert self.post("3", dedup_id="y")
        assert self.post("4", dedup_id="x", key=OTHER)
        self.clock.advance(299)
        assert self.post("5", dedup_id="x") == []
        self.clock.advance(1)
        assert self.post("6", dedup_id="x")
        assert self.post("7", dedup_id="x") == []
        assert self.listed() == ["1", "3", "6"]

    def test_a_post_that_repeats_itself_adds_one(self) -> None:
        posted = self.post_all("1", "2", dedup_id="x")
        assert posted is not None
        assert posted.ids[0] == posted.ids[1]
        assert self.listed() == ["1"]

    def test_a_deduplication_id_used_at_once_posts_once(self) -> None:
        with ThreadPoolExecutor(8) as posters:
            list(posters.map(lambda _number: self.post("1", dedup_id="x"), range(8)))
        assert self.listed() == ["1"]

    def test_the_sweep_forgets_deduplication_ids(self) -> None:
        self.post("1", "2", dedup_id="x")
        assert self.sweep() == 0
        self.clock.advance(300)
        assert self.sweep() == 1

    # Several at once

    def test_no_message_is_in_two_claims_and_none_is_lost(self) -> None:
        for start in range(0, 200, 20):
            self.post(*(str(number) for number in range(start, start + 20)))

        def consume(name: int) -> list[str]:
            taken: list[str] = []
            for turn in count():
                held = self.claim(limit=7, claim_id=f"{name}-{turn}")
                if not held:
                    return taken
                taken += bodies(held)
            return taken

        with ThreadPoolExecutor(8) as consumers:
            taken = [each for found in consumers.map(consume, range(8)) for each in found]
        # A claim that found its candidates in other hands may end early; what is left is free.
        taken += consume(99)
        assert sorted(taken, key=int) == [str(number) for number in range(200)]

    @pytest.mark.parametrize("ordering", ["none", "fifo-group"])
    def test_who_reads_page_by_page_misses_nothing(self, ordering: str) -> None:
        self.ordered(ordering)
        another = self.another()
        stopped = threading.Event()

        def post_often(number: int) -> int:
            stores = self.stores if number % 2 else another
            for turn in range(25):
                self.post(*"123", group=str(number), stores=stores, prefix=f"{number}-{turn}")
                time.sleep(0)
            return 75

        def read() -> int:
            seen, after, last = 0, 0, False
            while not last:
                last = stopped.is_set()
                while found := self.stores.messages.page(KEY, Page(40, after), self.now):
                    seen, after = seen + len(found), found[-1].position
                time.sleep(0)  # lets the others run where threads are greenlets
            return seen

        with ThreadPoolExecutor(5) as threads:
            reading = threads.submit(read)
            posted = sum(threads.map(post_often, range(4)))
            stopped.set()
            assert reading.result() == posted

    def test_posts_at_once_to_a_new_topic_all_arrive(self) -> None:
        with ThreadPoolExecutor(8) as posters:
            list(posters.map(lambda number: self.post(str(number)), range(40)))
        assert sorted(self.listed(limit=100), key=int) == [str(number) for number in range(40)]

    def test_a_key_used_at_once_posts_once(self) -> None:
        with ThreadPoolExecutor(8) as posters:
            list(posters.map(lambda _number: self.post("1", once="event"), range(8)))
        assert self.listed() == ["1"]

    def test_changes_at_once_all_count(self) -> None:
        def add(number: int) -> None:
            self.stores.topics.update(KEY, lambda old: {**old, str(number): number}, self.now)

        with ThreadPoolExecutor(8) as editors:
            list(editors.map(add, range(16)))
        topic = self.stores.topics.get(KEY)
        assert topic is not None
        assert len(topic.metadata) == 16

    @pytest.mark.parametrize("ordering", ["none", "fifo"])
    def test_messages_of_another_store_are_put_as_they_are(self, ordering: str) -> None:
        self.stores.topics.create(KEY, {"_ordering": ordering}, self.now)
        self.post("1", "2", ttl=900)
        held = self.claim(limit=1, ttl=300)
        self.post("late", delay=60)
        whole = Page(limit=9, claimed=True, delayed=True)
        before = self.stores.messages.page(KEY, whole, self.now)
        kept = self.stores.claims.get(KEY, "claim", self.now)
        assert kept is not None
        self.stores.topics.delete(KEY)
        while self.sweep():
            pass
        self.stores.topics.create(KEY, {"_ordering": ordering}, self.now)
        for _again in range(2):
            self.stores.messages.put(KEY, before[:2], [kept[0]], self.now)
        self.stores.messages.put(KEY, before[2:], [], self.now)
        after = self.stores.messages.page(KEY, whole, self.now)
        assert [msgspec.structs.replace(each, position=0) for each in after] == [
            msgspec.structs.replace(each, position=0) for each in before
        ]
        found = self.stores.claims.get(KEY, "claim", self.now)
        assert found is not None
        assert (found[0], bodies(found[1])) == (kept[0], ["1"])
        assert bodies(self.claim(claim_id="other")) == (["2"] if ordering == "none" else [])
        self.stores.messages.delete(KEY, held[0].id, "claim", self.now)
        self.clock.advance(300)
        assert bodies(self.claim(claim_id="third")) == ["2", "late"]

    def test_the_store_answers(self) -> None:
        self.stores.check()


def bodies(messages: Sequence[Message]) -> list[str]:
    return [message.body.decode() for message in messages]
