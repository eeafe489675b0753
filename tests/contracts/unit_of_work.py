"""What every driver of the records keeps to. A test class gives a `unit_of_work` fixture."""

import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from kilo_catalog.db.base import Doomed, Event, Transaction, UnitOfWork, Usage
from kilo_catalog.domain.findings import Findings
from kilo_catalog.domain.image import (
    DataFacts,
    Image,
    ImageStatus,
    Location,
    Resumable,
    UploadClaim,
    Visibility,
    bury,
    claim,
    fill,
)
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.listing_query import parse_query
from kilo_catalog.domain.member import Member, MemberStatus
from kilo_catalog.errors import (
    ImageChanged,
    ImageIdTaken,
    ImageNotFound,
    ListQueryInvalid,
    MemberExists,
)

T0 = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def image(number: int = 0, **changes: Any) -> Image:
    moment = T0 + number * SECOND
    values = {"id": str(uuid.UUID(int=number + 1)), "owner": "p1"} | changes
    return Image(**({"created_at": moment, "updated_at": moment} | values))


def event(number: int) -> Event:
    return Event(
        id=str(uuid.UUID(int=number)),
        event_type="image.create",
        payload={"number": number},
        context={"project_id": "p1"},
        occurred_at=T0,
    )


def member(number: int, project: str, status: MemberStatus = MemberStatus.ACCEPTED) -> Member:
    return Member(
        image_id=image(number).id,
        project_id=project,
        status=status,
        created_at=T0,
        updated_at=T0,
    )


@dataclass(frozen=True)
class Records:
    """Short words for what the tests do over and over."""

    unit_of_work: UnitOfWork

    def add(self, *images: Image) -> None:
        def work(transaction: Transaction) -> None:
            for each in images:
                transaction.images.add(each)

        self.unit_of_work.write(work)

    def share(self, *members: Member) -> None:
        def work(transaction: Transaction) -> None:
            for each in members:
                transaction.members.add(each)

        self.unit_of_work.write(work)

    def members(self, number: int) -> list[Member]:
        return list(self.unit_of_work.read(lambda tx: tx.members.list(image(number).id)))

    def get(self, image_id: str) -> Image:
        return self.unit_of_work.read(lambda tx: tx.images.get(image_id))

    def update(self, changed: Image) -> Image:
        return self.unit_of_work.write(lambda tx: tx.images.update(changed))

    def page(
        self, query: str = "", project: str = "p1", admin: bool = False
    ) -> tuple[list[int], bool]:
        """The numbers of the images on a page, and whether there are more."""
        pairs = [tuple(part.split("=", 1)) for part in query.split("&") if part]
        asked = parse_query(pairs, Limits(), project, is_admin=admin)
        page = self.unit_of_work.read(lambda tx: tx.images.list_page(asked))
        return [uuid.UUID(each.id).int - 1 for each in page.images], page.has_more

    def numbers(self, query: str = "", project: str = "p1", admin: bool = False) -> list[int]:
        return self.page(query, project, admin)[0]


class UnitOfWorkContract:
    @pytest.fixture
    def records(self, unit_of_work: UnitOfWork) -> Records:
        return Records(unit_of_work)

    def test_an_image_comes_back_as_it_was(self, records: Records) -> None:
        kept = image(
            name="Ünïcode 🐍",
            visibility=Visibility.COMMUNITY,
            protected=True,
            os_hidden=True,
            disk_format="raw",
            container_format="bare",
            min_disk=2**31 - 1,
            min_ram=3,
            tags=("A", "a", "ä"),
            properties={"k": "v", "K": "🐍"},
        )
        records.add(kept)
        assert records.get(kept.id) == kept

    def test_a_long_property_comes_back_whole(self, records: Records) -> None:
        kept = image(properties={"k": "ä" * 100_000})
        records.add(kept)
        assert records.get(kept.id) == kept
        assert records.numbers("k=" + "ä" * 100_000) == [0]

    def test_filled_images_keep_their_locations(self, records: Records) -> None:
        waiting = image(disk_format="raw", container_format="bare")
        records.add(waiting)
        upload = UploadClaim("11111111-1111-4111-8111-111111111111", "main", T0)
        saving = records.update(claim(waiting, upload))
        assert records.get(waiting.id).upload == upload
        found = Findings("qcow2", 10**15, {"label": "\u00e4"}, ("odd",))
        facts = DataFacts(5, 10**15, "c" * 32, "sha512", "d" * 128, found)
        filled = records.update(fill(saving, facts, T0))
        found = records.get(waiting.id)
        assert found == filled
        assert (found.status, found.size, found.upload) == (ImageStatus.ACTIVE, 5, None)
        assert [each.key for each in found.locations] == [upload.id]

    def test_a_blob_is_known_by_the_image_that_has_it_or_is_getting_it(
        self, records: Records
    ) -> None:
        def known(store: str, key: str) -> bool:
            return records.unit_of_work.read(lambda tx: tx.images.has_blob(store, key))

        places = (Location("main", "a_b"), Location("web", "http://x/y", ours=False))
        kept = image(locations=(structs.replace(places[0], metadata=(("k", "v"),)), places[1]))
        records.add(kept)
        assert records.get(kept.id) == kept
        waiting = image(1)
        records.add(waiting)
        records.update(claim(waiting, UploadClaim("upload-1", "main", T0)))
        assert [known("main", key) for key in ("a_b", "upload-1", "a%", "axb", "a")] == [
            True, True, False, False, False
        ]  # fmt: skip
        assert known("web", "http://x/y")
        assert not known("web", "a_b")

    def test_images_with_data_are_gone_through_by_id(self, records: Records) -> None:
        def listed(after: str, limit: int) -> list[str]:
            found = records.unit_of_work.read(lambda tx: tx.images.list_with_data(after, limit))
            return [each.id for each in found]

        kept = [image(number, locations=(Location("main", f"k{number}"),)) for number in range(3)]
        for each in (*kept, image(3)):
            records.add(each)
        ids = [each.id for each in kept]
        assert (listed("", 2), listed(ids[1], 2), listed(ids[2], 2)) == (ids[:2], ids[2:], [])

    def test_a_doomed_blob_is_known_until_it_is_removed(self, records: Records) -> None:
        def known() -> bool:
            return records.unit_of_work.read(lambda tx: tx.doomed.has("main", "key"))

        assert not known()
        records.unit_of_work.write(lambda tx: tx.doomed.add(Doomed("main", "key", T0)))
        assert known()
        records.unit_of_work.write(lambda tx: tx.doomed.remove("main", "key"))
        assert not known()

    def test_a_resumable_upload_comes_back_as_it_was(self, records: Records) -> None:
        records.add(image())
        held = Resumable(10, "a YQ==", "holder", T0 + SECOND)
        saving = records.update(claim(image(), UploadClaim("upload-1", "main", T0, held)))
        assert records.get(saving.id) == saving

    def test_an_unknown_image_is_not_found(self, records: Records) -> None:
        with pytest.raises(ImageNotFound):
            records.get("nothing")

    def test_an_id_is_taken_for_good(self, records: Records) -> None:
        first = image()
        records.add(first)
        with pytest.raises(ImageIdTaken):
            records.add(first)
        records.update(bury(first, T0))
        with pytest.raises(ImageNotFound):
            records.get(first.id)
        with pytest.raises(ImageIdTaken):
            records.add(first)

    def test_an_update_of_an_old_version_is_refused(self, records: Records) -> None:
        old = image()
        records.add(old)
        new = records.update(structs.replace(old, name="new"))
        with pytest.raises(ImageChanged):
            records.update(structs.replace(old, name="late"))
        assert records.get(old.id) == new
        assert new.version == old.version + 1

    def test_updates_at_the_same_time_lose_nothing(self, records: Records) -> None:
        records.add(image())

        def tag(number: int) -> None:
            def work(transaction: Transaction) -> None:
                found = transaction.images.get(image().id)
                tags = tuple(sorted((*found.tags, f"t{number}")))
                transaction.images.update(structs.replace(found, tags=tags))

            records.unit_of_work.write(work)

        threads = [threading.Thread(target=tag, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(records.get(image().id).tags) == 12

    def test_failed_work_leaves_nothing(self, records: Records) -> None:
        def work(transaction: Transaction) -> None:
            transaction.images.add(image())
            transaction.outbox.add(event(1))
            transaction.doomed.add(Doomed("main", "k", T0))
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            records.unit_of_work.write(work)
        with pytest.raises(ImageNotFound):
            records.get(image().id)
        later = T0 + SECOND
        claimed = records.unit_of_work.write(lambda tx: tx.outbox.claim(later, later, 10))
        assert list(claimed) == []
        assert list(records.unit_of_work.read(lambda tx: tx.doomed.list_due(later, 10))) == []

    def test_a_list_has_what_the_caller_may_see(self, records: Records) -> None:
        everyone = [Visibility.PUBLIC, Visibility.COMMUNITY, Visibility.SHARED, Visibility.PRIVATE]
        records.add(
            *(image(number, visibility=each) for number, each in enumerate(everyone)),
            *(
                image(4 + number, visibility=each, owner="p2")
                for number, each in enumerate(everyone)
            ),
        )
        assert records.numbers() == [4, 3, 2, 1, 0]
        assert records.numbers("visibility=all") == [5, 4, 3, 2, 1, 0]
        assert records.numbers("visibility=community") == [5, 1]
        assert records.numbers("visibility=private") == [3]
        assert records.numbers("visibility=public", project="p3") == [4, 0]
        assert records.numbers(project="p3") == [4, 0]
        assert records.numbers(admin=True) == [7, 6, 4, 3, 2, 1, 0]
        assert records.numbers("visibility=all", admin=True) == [7, 6, 5, 4, 3, 2, 1, 0]
        assert records.numbers("owner=p2", admin=True) == [7, 6, 4]

    def test_deleted_and_hidden_images_are_not_listed(self, records: Records) -> None:
        gone = image(0)
        records.add(gone, image(1, os_hidden=True), image(2))
        records.update(bury(gone, T0))
        assert records.numbers() == [2]
        assert records.numbers("os_hidden=true") == [1]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("name=a", [0]),
            ("name=A", [1]),
            ("name=in:a,A", [1, 0]),
            ('name=in:"b,c",zz', [2]),
            ("name=in:", []),
            ("status=queued", [3, 2, 1, 0]),
            ("status=in:active,bogus", []),
            ("disk_format=raw", [2, 0]),
            ("size_min=1", [2]),
            ("size_max=9", [2]),
            ("size=5", [2]),
            ("min_ram_min=2", [1]),
            ("min_ram_max=0", [3, 2, 0]),
            ("protected=true", [3]),
            ("tag=x", [2, 1]),
            ("tag=x&tag=y", [2]),
            ("tag=X", []),
            ("k=v", [1]),
            ("k=V", []),
            ("k=v&name=A", [1]),
            ("created_at=2026-11-23T12:00:01Z", [1]),
            ("created_at=gt:2026-11-23T12:00:01Z", [3, 2]),
            ("created_at=gte:2026-11-23T12:00:01Z", [3, 2, 1]),
            ("created_at=lt:2026-11-23T12:00:01Z", [0]),
            ("created_at=lte:2026-11-23T12:00:01Z", [1, 0]),
            ("created_at=neq:2026-11-23T12:00:01Z", [3, 2, 0]),
            ("updated_at=gte:2026-11-23T13:00:02%2B01:00", [3, 2]),
            ("checksum=abc", []),
            ("self=x", []),
            ("os_hash_value=abc", []),
        ],
    )
    def test_filters_choose_images(self, records: Records, query: str, expected: list[int]) -> None:
        records.add(
            image(0, name="a", disk_format="raw"),
            image(1, name="A", min_ram=2, tags=("x",), properties={"k": "v"}),
            image(2, name="b,c", disk_format="raw", size=5, tags=("x", "y")),
            image(3, protected=True, properties={"k": "w"}),
        )
        assert records.numbers(query.replace("%2B", "+")) == expected

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("", [5, 4, 3, 2, 1, 0]),
            ("sort=created_at:asc", [0, 1, 2, 3, 4, 5]),
            ("sort=name:asc", [0, 5, 4, 1, 2, 3]),
            ("sort=name", [3, 2, 1, 4, 5, 0]),
            ("sort=size:desc,name:asc", [1, 4, 3, 2, 0, 5]),
            ("sort_key=size&sort_key=name&sort_dir=desc&sort_dir=asc", [1, 4, 3, 2, 0, 5]),
            ("sort=status:asc,id:asc", [0, 1, 2, 3, 4, 5]),
            ("sort=id:desc", [5, 4, 3, 2, 1, 0]),
        ],
    )
    def test_pages_of_any_size_make_up_the_sorted_list(
        self, records: Records, sort: str, expected: list[int]
    ) -> None:
        records.add(
            image(0),
            image(1, name="b", size=9),
            image(2, name="c", size=1),
            image(3, name="d", size=2),
            image(4, name="a", size=3),
            image(5, name="B"),
        )
        assert records.numbers(sort) == expected
        for limit in (1, 2, 4):
            assert self._walk(records, f"{sort}&limit={limit}") == expected

    def _walk(self, records: Records, query: str, project: str = "p1") -> list[int]:
        found, more = records.page(query, project)
        walked = found
        while more:
            marker = str(uuid.UUID(int=found[-1] + 1))
            found, more = records.page(f"{query}&marker={marker}", project)
            walked = walked + found
        return walked

    def test_a_limit_of_none_gives_nothing(self, records: Records) -> None:
        records.add(image())
        assert records.numbers("limit=0") == []

    @pytest.mark.parametrize("marker", ["nope", str(uuid.UUID(int=2)), str(uuid.UUID(int=99))])
    def test_a_marker_must_be_an_image_in_the_list(self, records: Records, marker: str) -> None:
        records.add(image(0), image(1, owner="p2"))
        with pytest.raises(ListQueryInvalid):
            records.page(f"marker={marker}")

    def test_expired_uploads_are_found_oldest_first(self, records: Records) -> None:
        for number in range(3):
            records.add(image(number))
            upload = UploadClaim(str(uuid.UUID(int=50 + number)), "main", T0 - number * SECOND)
            records.update(claim(image(number), upload))
        expired = records.unit_of_work.read(lambda tx: tx.images.list_expired(T0, 10))
        assert [each.id for each in expired] == [image(2).id, image(1).id]

    def test_usage_counts_what_is_there(self, records: Records) -> None:
        records.add(image(0, size=5), image(1, size=7), image(2, owner="p2", size=100), image(3))
        records.update(claim(image(3), UploadClaim("u", "main", T0)))
        records.update(bury(image(1, size=7), T0))
        used = records.unit_of_work.read(lambda tx: tx.images.usage("p1"))
        assert used == Usage(images=2, uploading=1, size=5)

    def test_members_come_back_as_they_were(self, records: Records) -> None:
        records.add(image(0), image(1))
        first, other = member(0, "p2", MemberStatus.PENDING), member(0, "Ünïcode 🐍")
        late = structs.replace(member(0, "a"), created_at=T0 + SECOND)
        records.share(late, other, first, member(1, "p2"))
        assert records.members(0) == [first, other, late]
        read = records.unit_of_work.read
        assert read(lambda tx: tx.members.find(image(0).id, "p2")) == first
        assert read(lambda tx: tx.members.find(image(0).id, "P2")) is None
        assert read(lambda tx: tx.members.find("nothing", "p2")) is None
        assert records.members(5) == []

    def test_a_member_is_added_once(self, records: Records) -> None:
        records.add(image(0))
        records.share(member(0, "p2"))
        with pytest.raises(MemberExists):
            records.share(member(0, "p2", MemberStatus.PENDING))
        assert records.members(0) == [member(0, "p2")]

    def test_members_change_and_go(self, records: Records) -> None:
        records.add(image(0))
        records.share(member(0, "p2"), member(0, "p3"))
        changed = structs.replace(
            member(0, "p2"), status=MemberStatus.REJECTED, updated_at=T0 + SECOND
        )
        records.unit_of_work.write(lambda tx: tx.members.update(changed))
        assert records.members(0) == [changed, member(0, "p3")]
        for _twice in range(2):
            records.unit_of_work.write(lambda tx: tx.members.remove(image(0).id, "p2"))
        records.unit_of_work.write(lambda tx: tx.members.update(changed))
        assert records.members(0) == [member(0, "p3")]

    def test_a_deleted_image_has_no_members(self, records: Records) -> None:
        records.add(image(0))
        records.share(member(0, "p2"))
        records.update(bury(image(0), T0))
        assert records.members(0) == []
        assert records.numbers(project="p2") == []

    def test_shared_images_are_listed_by_the_members_status(self, records: Records) -> None:
        pending, accepted, rejected = MemberStatus
        records.add(
            *(image(number) for number in range(4)),
            image(4, visibility=Visibility.PRIVATE),
            image(5, visibility=Visibility.PUBLIC),
            image(6, owner="p2"),
            image(7, visibility=Visibility.COMMUNITY),
        )
        records.share(member(0, "p2", pending), member(1, "p2"), member(2, "p2", rejected))
        records.share(*(member(number, "p2", accepted) for number in (4, 5, 6, 7)))
        records.share(member(3, "p3"))
        assert records.numbers(project="p2") == [6, 5, 1]
        assert records.numbers("member_status=accepted", project="p2") == [6, 5, 1]
        assert records.numbers("member_status=pending", project="p2") == [6, 5, 0]
        assert records.numbers("member_status=rejected", project="p2") == [6, 5, 2]
        assert records.numbers("member_status=all", project="p2") == [6, 5, 2, 1, 0]
        shared = "visibility=shared&member_status=all"
        assert records.numbers(shared, project="p2") == [6, 2, 1, 0]
        assert records.numbers("visibility=public", project="p2") == [5]
        assert records.numbers("visibility=all", project="p2") == [7, 6, 5, 1]
        assert records.numbers("owner=p1&visibility=shared", project="p2") == [1]
        assert records.numbers(shared, project="p9", admin=True) == [6, 3, 2, 1, 0]

    @pytest.mark.parametrize("sort", ["", "sort=created_at:asc", "sort=name:asc", "sort=id:desc"])
    def test_pages_walk_through_shared_images_too(self, records: Records, sort: str) -> None:
        names = ["d", None, "a", "c", "b", None]
        records.add(*(image(number, name=name) for number, name in enumerate(names)))
        records.add(image(6, owner="p2", name="bb"), image(7, name="zz"))
        records.share(
            *(member(number, "p2", list(MemberStatus)[number % 3]) for number in range(6))
        )
        query = f"{sort}&member_status=all"
        whole = records.numbers(query, project="p2")
        assert sorted(whole) == [0, 1, 2, 3, 4, 5, 6]
        for limit in (1, 2, 3):
            assert self._walk(records, f"{query}&limit={limit}", "p2") == whole
        with pytest.raises(ListQueryInvalid):
            records.page(f"marker={image(0).id}", project="p2")

    def test_doomed_blobs_are_due_at_their_time(self, records: Records) -> None:
        work = records.unit_of_work
        late = Doomed("main", "late", T0 + 9 * SECOND)
        for doomed in (Doomed("main", "b", T0), Doomed("x", "a", T0 - SECOND), late):
            work.write(lambda tx, each=doomed: tx.doomed.add(each))
        due = work.read(lambda tx: tx.doomed.list_due(T0, 10))
        assert [each.key for each in due] == ["a", "b"]
        work.write(lambda tx: tx.doomed.add(Doomed("main", "b", T0 + SECOND)))
        work.write(lambda tx: tx.doomed.remove("x", "a"))
        work.write(lambda tx: tx.doomed.remove("x", "a"))
        assert list(work.read(lambda tx: tx.doomed.list_due(T0, 10))) == []
        due = work.read(lambda tx: tx.doomed.list_due(T0 + 9 * SECOND, 10))
        assert [each.key for each in due] == ["b", "late"]

    def test_events_are_claimed_in_order_and_once(self, records: Records) -> None:
        work = records.unit_of_work
        for number in (1, 2, 3):
            work.write(lambda tx, each=number: tx.outbox.add(event(each)))
        first = work.write(lambda tx: tx.outbox.claim(T0, T0 + 9 * SECOND, 2))
        assert [each.event for each in first] == [event(1), event(2)]
        second = work.write(lambda tx: tx.outbox.claim(T0, T0 + 9 * SECOND, 2))
        assert [each.event for each in second] == [event(3)]
        assert list(work.write(lambda tx: tx.outbox.claim(T0, T0 + 9 * SECOND, 2))) == []

    def test_claimed_events_come_back(self, records: Records) -> None:
        work = records.unit_of_work
        for number in (1, 2, 3):
            work.write(lambda tx, each=number: tx.outbox.add(event(each)))
        claimed = work.write(lambda tx: tx.outbox.claim(T0, T0 + SECOND, 10))
        numbers = [each.sequence for each in claimed]
        work.write(lambda tx: tx.outbox.remove(numbers[:1]))
        work.write(lambda tx: tx.outbox.remove(numbers[:1]))
        work.write(lambda tx: tx.outbox.release(numbers[1:2], T0))
        again = work.write(lambda tx: tx.outbox.claim(T0, T0 + SECOND, 10))
        assert [each.event for each in again] == [event(2)]
        later = T0 + SECOND
        rest = work.write(lambda tx: tx.outbox.claim(later, later + SECOND, 10))
        assert [each.event for each in rest] == [event(2), event(3)]

    def test_a_commit_that_recorded_events_wakes_the_relay(self, records: Records) -> None:
        woken: list[bool] = []
        records.unit_of_work.on_event(lambda: woken.append(True))
        records.add(image())
        assert woken == []
        records.unit_of_work.write(lambda tx: tx.outbox.add(event(1)))
        assert woken == [True]

    def test_it_answers_that_it_is_there(self, records: Records) -> None:
        records.unit_of_work.check()
