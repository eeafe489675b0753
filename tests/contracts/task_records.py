"""What every driver of the records keeps to about tasks and caches. A test class gives a
`unit_of_work` fixture."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from contracts.unit_of_work import SECOND, T0, Records, image
from kilo_catalog.db.base import UnitOfWork
from kilo_catalog.db.base_cache import CacheEntry
from kilo_catalog.domain.image import DataFacts, Staged, UploadClaim
from kilo_catalog.domain.importing import begin, claim_stage, fall_back, stage
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.task import Lease, Progress, Task, TaskStatus, fail, finish_step, renew
from kilo_catalog.domain.task_query import parse_task_query
from kilo_catalog.errors import ListQueryInvalid, TaskChanged, TaskNotFound

FACTS = DataFacts(5, 10**15, "c" * 32, "sha512", "d" * 128)


def task(number: int = 0, **changes: Any) -> Task:
    moment = T0 + number * SECOND
    values = {"id": f"task-{number:03}", "type": "api_image_import", "owner": "p1"}
    return Task(**({"created_at": moment, "updated_at": moment} | values | changes))


def lease(number: int, seconds: float = 60) -> Lease:
    return Lease(f"worker-{number}", T0 + timedelta(seconds=seconds))


class TaskRecordsContract:
    @pytest.fixture
    def records(self, unit_of_work: UnitOfWork) -> Records:
        return Records(unit_of_work)

    def add(self, records: Records, *tasks: Task) -> None:
        def work(transaction: Any) -> None:
            for each in tasks:
                transaction.tasks.add(each)

        records.unit_of_work.write(work)

    def get(self, records: Records, number: int) -> Task:
        return records.unit_of_work.read(lambda tx: tx.tasks.get(f"task-{number:03}"))

    def take(self, records: Records, number: int, now: float = 0, per_project: int = 99) -> Any:
        moment = T0 + timedelta(seconds=now)
        return records.unit_of_work.write(
            lambda tx: tx.tasks.take_next(lease(number, now + 60), moment, per_project)
        )

    def page(self, records: Records, query: str) -> tuple[list[int], bool]:
        pairs = [tuple(part.split("=", 1)) for part in query.split("&") if part]
        asked = parse_task_query(pairs, Limits())
        found = records.unit_of_work.read(lambda tx: tx.tasks.list_page(asked))
        return [int(each.id[5:]) for each in found.tasks], found.has_more

    def test_a_task_comes_back_as_it_was(self, records: Records) -> None:
        kept = task(
            image_id=image().id,
            user_id="u",
            request_id="req-1",
            input={"uri": "http://ä/🐍", "list": [1, None]},
            context={"project_id": "p1"},
            status=TaskStatus.PROCESSING,
            message="ä" * 5000,
            result={"a": 1},
            steps=("fetch", "store:main"),
            state={"blob": {"key": "k"}},
            progress=Progress("store:main", 50, 10, 20),
            lease=lease(1),
            attempts=2,
            cancelled=True,
            expires_at=T0,
        )
        self.add(records, kept)
        assert self.get(records, 0) == kept

    def test_an_unknown_task_is_not_found(self, records: Records) -> None:
        with pytest.raises(TaskNotFound):
            self.get(records, 7)

    def test_a_change_made_from_an_old_version_is_refused(self, records: Records) -> None:
        self.add(records, task())
        old = self.get(records, 0)
        records.unit_of_work.write(lambda tx: tx.tasks.update(finish_step(old, "a", {}, T0)))
        with pytest.raises(TaskChanged):
            records.unit_of_work.write(lambda tx: tx.tasks.update(finish_step(old, "b", {}, T0)))
        assert self.get(records, 0).steps == ("a",)

    def test_the_oldest_waiting_task_is_taken_first_and_once(self, records: Records) -> None:
        self.add(records, task(2), task(1), task(3, status=TaskStatus.SUCCESS))
        first, second = self.take(records, 1), self.take(records, 2)
        assert (first.id, second.id) == ("task-001", "task-002")
        assert (first.status, first.lease, first.attempts) == (TaskStatus.PROCESSING, lease(1), 1)
        assert self.take(records, 3) is None

    def test_a_task_whose_lease_ended_is_taken_by_another(self, records: Records) -> None:
        self.add(records, task())
        self.take(records, 1)
        assert self.take(records, 2, now=59) is None
        again = self.take(records, 2, now=60)
        assert (again.lease.holder, again.attempts) == ("worker-2", 2)

    def test_a_renewed_task_stays(self, records: Records) -> None:
        self.add(records, task())
        held = self.take(records, 1)
        until = T0 + timedelta(seconds=100)
        records.unit_of_work.write(lambda tx: tx.tasks.update(renew(held, until)))
        assert self.take(records, 2, now=99) is None

    def test_a_project_at_its_bound_waits_and_others_do_not(self, records: Records) -> None:
        self.add(records, *(task(number) for number in range(3)))
        self.add(records, task(8, owner="p2"), task(9, owner=None))
        taken = [self.take(records, number, per_project=2) for number in range(5)]
        assert [each and each.id for each in taken] == [
            *("task-000", "task-001", "task-008", "task-009", None)
        ]

    def test_a_listing_is_filtered_sorted_and_paged(self, records: Records) -> None:
        self.add(records, *(task(number) for number in range(5)))
        self.add(records, task(6, owner="p2", status=TaskStatus.FAILURE, image_id="i"))
        assert self.page(records, "") == ([6, 4, 3, 2, 1, 0], False)
        assert self.page(records, "limit=2&sort_dir=asc") == ([0, 1], True)
        assert self.page(records, "limit=2&sort_dir=asc&marker=task-001") == ([2, 3], True)
        assert self.page(records, "marker=task-002") == ([1, 0], False)
        assert self.page(records, "owner=p2") == ([6], False)
        assert self.page(records, "status=failure&type=api_image_import&image_id=i") == ([6], False)
        assert self.page(records, "sort_key=status&sort_dir=asc&limit=1") == ([6], True)
        assert self.page(records, "limit=0") == ([], False)
        with pytest.raises(ListQueryInvalid):
            self.page(records, "marker=nothing")

    def test_only_ended_tasks_expire(self, records: Records) -> None:
        ended = fail(task(0), "no", T0)
        self.add(records, ended, task(1))
        assert ended.expires_at is not None
        for moment, count in ((ended.expires_at, 0), (ended.expires_at + SECOND, 1)):
            expired = records.unit_of_work.write(
                lambda tx, moment=moment: tx.tasks.remove_expired(moment)
            )
            assert expired == count
        assert self.page(records, "") == ([1], False)

    def test_an_image_keeps_what_is_staged_and_its_import(self, records: Records) -> None:
        records.add(image(disk_format="raw", container_format="bare"))
        upload = UploadClaim("11111111-1111-4111-8111-111111111111", "main", T0)
        records.update(claim_stage(records.get(image().id), upload))
        staged = Staged("main", upload.id, T0 + SECOND, FACTS)
        records.update(stage(records.get(image().id), staged, T0))
        found = records.get(image().id)
        assert (found.staged, found.upload, found.size) == (staged, None, 5)
        records.update(begin(found, "task-1", ["a", "b"]))
        found = records.get(image().id)
        assert found.imports is not None
        assert (found.imports.task, found.imports.waiting) == ("task-1", ("a", "b"))
        records.update(fall_back(found, (), "why", T0 + SECOND))
        found = records.get(image().id)
        assert found.imports is not None
        assert (found.imports.failed, found.imports.message) == (("a", "b"), "why")

    def test_staged_data_expires_unless_it_is_being_imported(self, records: Records) -> None:
        staged = Staged("main", "k", T0 + SECOND, FACTS)
        waiting = claim_stage(image(), UploadClaim("k", "main", T0))
        records.add(stage(waiting, staged, T0))
        late = T0 + 2 * SECOND

        def expired() -> int:
            return len(records.unit_of_work.read(lambda tx: tx.images.list_expired(late, 9)))

        assert expired() == 1
        records.update(begin(records.get(image().id), "t", ["main"]))
        assert expired() == 0

    def test_what_is_staged_is_counted_apart(self, records: Records) -> None:
        staged = Staged("main", "k", T0, FACTS)
        records.add(stage(claim_stage(image(), UploadClaim("k", "main", T0)), staged, T0))
        used = records.unit_of_work.read(lambda tx: tx.images.usage("p1"))
        assert (used.images, used.uploading, used.size, used.staged) == (1, 1, 0, 5)

    def test_cache_entries_belong_to_their_node(self, records: Records) -> None:
        first = CacheEntry(node="a", image_id="i", queued_at=T0)
        second = CacheEntry(node="a", image_id="j", size=3, cached_at=T0, accessed_at=T0 + SECOND)
        other = structs.replace(first, node="b")

        def work(transaction: Any) -> None:
            for each in (second, first, other, first):
                transaction.cache.put(each)

        records.unit_of_work.write(work)
        read = records.unit_of_work.read
        assert read(lambda tx: tx.cache.list_node("a")) == [first, second]
        assert read(lambda tx: tx.cache.list_image("i")) == [first, other]
        assert read(lambda tx: tx.cache.find("a", "j")) == second
        records.unit_of_work.write(lambda tx: tx.cache.remove("a", "i"))
        assert read(lambda tx: tx.cache.find("a", "i")) is None
