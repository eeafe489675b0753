"""What every driver of the metadata definitions keeps to; `unit_of_work` is the class's fixture."""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.metadef import (
    Association,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    MetadefVisibility,
    Namespace,
    NamespaceQuery,
    ResourceType,
)
from kilo_catalog.errors import ListQueryInvalid, MetadefChanged, MetadefExists, MetadefNotFound

T0 = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
STAMPS: Any = {"created_at": T0, "updated_at": T0}


def namespace(number: int = 0, **changes: Any) -> Namespace:
    moment = T0 + number * timedelta(seconds=1)
    values: dict[str, Any] = {
        "id": str(uuid.UUID(int=number + 1)),
        "name": f"N{number}",
        "owner": "p1",
        "created_at": moment,
        "updated_at": moment,
        **changes,
    }
    return Namespace(**values)


def association(name: str, **changes: Any) -> Association:
    return Association(name=name, **STAMPS, **changes)


FULL = namespace(
    display_name="Räume",
    description="All of it",
    visibility=MetadefVisibility.PUBLIC,
    protected=True,
    associations=(association("OS::A", prefix="a_"), association("OS::B", properties_target="x")),
    objects=(
        MetadefObject(
            name="o", required=("p",), properties={"p": {"title": "P", "type": None}}, **STAMPS
        ),
    ),
    properties=(
        MetadefProperty(
            name="n",
            schema={"title": "N", "type": "integer", "default": 10**30, "enum": [1, 2.5, None]},
            **STAMPS,
        ),
    ),
    tags=(MetadefTag(name="t", **STAMPS), MetadefTag(name="T", **STAMPS)),
)


def keep(unit_of_work: UnitOfWork, *namespaces: Namespace) -> None:
    def work(transaction: Transaction) -> None:
        for each in namespaces:
            transaction.metadefs.add(each)

    unit_of_work.write(work)


def names_of(unit_of_work: UnitOfWork, **query: Any) -> list[str]:
    asked = NamespaceQuery(**{"project": "p1", **query})
    page = unit_of_work.read(lambda tx: tx.metadefs.list_page(asked))
    return [each.name for each in page.namespaces]


class MetadefContract:
    """Namespaces of metadata definitions."""

    def test_a_namespace_comes_back_as_it_was(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, FULL)
        assert unit_of_work.read(lambda tx: tx.metadefs.get("N0")) == FULL

    def test_what_is_not_there_is_not_found(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, FULL)
        for name in ("n0", "N", "N0 ", ""):
            with pytest.raises(MetadefNotFound):
                unit_of_work.read(lambda tx, name=name: tx.metadefs.get(name))

    def test_a_name_is_given_once(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, namespace(0), namespace(1))
        with pytest.raises(MetadefExists):
            keep(unit_of_work, namespace(2, name="N0"))
        with pytest.raises(MetadefExists):
            unit_of_work.write(lambda tx: tx.metadefs.update(namespace(0, name="N1")))
        assert names_of(unit_of_work) == ["N1", "N0"]

    def test_a_change_replaces_the_version_it_was_made_from(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, FULL)
        changed = structs.replace(FULL, name="renamed", tags=(), associations=FULL.associations[:1])
        kept = unit_of_work.write(lambda tx: tx.metadefs.update(changed))
        assert kept == structs.replace(changed, version=1)
        assert unit_of_work.read(lambda tx: tx.metadefs.get("renamed")) == kept
        with pytest.raises(MetadefChanged):
            unit_of_work.write(lambda tx: tx.metadefs.update(FULL))

    def test_what_is_removed_is_gone(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, FULL)
        for _ in range(2):
            unit_of_work.write(lambda tx: tx.metadefs.remove(FULL))
        assert names_of(unit_of_work) == []
        keep(unit_of_work, FULL)

    def test_a_resource_type_is_remembered(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, FULL, namespace(1, associations=(association("OS::A"),)))
        unit_of_work.write(lambda tx: tx.metadefs.remove(FULL))
        found = unit_of_work.read(lambda tx: tx.metadefs.resource_types())
        assert list(found) == [ResourceType("OS::A", T0, T0), ResourceType("OS::B", T0, T0)]

    def test_a_project_lists_its_own_and_public_ones(self, unit_of_work: UnitOfWork) -> None:
        public = MetadefVisibility.PUBLIC
        keep(
            unit_of_work,
            namespace(0),
            namespace(1, owner="p2"),
            namespace(2, owner="p2", visibility=public),
            namespace(3, owner=None),
        )
        assert names_of(unit_of_work) == ["N2", "N0"]
        assert names_of(unit_of_work, project=None) == ["N2"]
        assert names_of(unit_of_work, sees_all=True) == ["N3", "N2", "N1", "N0"]
        assert names_of(unit_of_work, visibility=public) == ["N2"]
        assert names_of(unit_of_work, visibility=MetadefVisibility.PRIVATE) == ["N0"]

    def test_a_list_is_for_resource_types(self, unit_of_work: UnitOfWork) -> None:
        keep(
            unit_of_work,
            FULL,
            namespace(1, associations=(association("OS::B"),)),
            namespace(2),
        )
        assert names_of(unit_of_work, resource_types=("OS::B", "x")) == ["N1", "N0"]
        assert names_of(unit_of_work, resource_types=("OS::A",)) == ["N0"]
        assert names_of(unit_of_work, resource_types=("os::a",)) == []

    def test_a_list_has_the_headers_only(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, FULL)
        page = unit_of_work.read(lambda tx: tx.metadefs.list_page(NamespaceQuery(project="p1")))
        assert page.namespaces == (structs.replace(FULL, objects=(), properties=(), tags=()),)

    @pytest.mark.parametrize("sort", ["created_at", "updated_at", "namespace"])
    @pytest.mark.parametrize("descending", [True, False])
    def test_pages_follow_each_other(
        self, unit_of_work: UnitOfWork, sort: str, descending: bool
    ) -> None:
        same = {"created_at": T0, "updated_at": T0}
        keep(unit_of_work, namespace(5), namespace(0, **same), namespace(1, **same), namespace(3))
        found: list[str] = []
        marker = None
        while True:
            asked = NamespaceQuery(
                project="p1", sort=sort, descending=descending, limit=1, marker=marker
            )
            page = unit_of_work.read(lambda tx, asked=asked: tx.metadefs.list_page(asked))
            found += [each.name for each in page.namespaces]
            if not page.has_more:
                break
            marker = found[-1]
        assert found == (["N5", "N3", "N1", "N0"] if descending else ["N0", "N1", "N3", "N5"])

    def test_a_marker_is_a_namespace_in_reach(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, namespace(0, owner="p2"), namespace(1))
        for marker in ("N0", "nobody"):
            with pytest.raises(ListQueryInvalid):
                names_of(unit_of_work, marker=marker)
        assert names_of(unit_of_work, marker="N1") == []
        assert names_of(unit_of_work, limit=0) == []

    def test_changes_at_the_same_time_are_all_made(self, unit_of_work: UnitOfWork) -> None:
        keep(unit_of_work, namespace())

        def add_tag(number: int) -> None:
            def work(transaction: Transaction) -> None:
                present = transaction.metadefs.get("N0")
                tag = MetadefTag(name=f"t{number}", **STAMPS)
                kind = association(f"OS::{number % 2}{len(present.tags)}")
                transaction.metadefs.update(
                    structs.replace(present, tags=(*present.tags, tag), associations=(kind,))
                )

            unit_of_work.write(work)

        threads = [threading.Thread(target=add_tag, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = unit_of_work.read(lambda tx: tx.metadefs.get("N0"))
        assert {each.name for each in found.tags} == {f"t{number}" for number in range(8)}
        assert found.version == 8
