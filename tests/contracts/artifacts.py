"""The contract of the artifact records: every driver of the unit of work passes it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.db.base_artifact import ArtifactUsage
from kilo_catalog.domain.artifact import (
    Artifact,
    ArtifactBlob,
    ArtifactStatus,
    ArtifactVisibility,
)
from kilo_catalog.domain.artifact_query import ArtifactQuery, parse_artifact_query
from kilo_catalog.domain.artifact_type import ArtifactType, read_type
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import (
    ArtifactChanged,
    ArtifactExists,
    ArtifactNotFound,
    ListQueryInvalid,
)

START = datetime(2030, 1, 1, tzinfo=UTC)
KIND = read_type(
    {
        "name": "things",
        "display_name": "Thing",
        "fields": {
            "size": {"kind": "integer"},
            "color": {"kind": "text"},
            "on": {"kind": "boolean"},
            "needs": {"kind": "links"},
            "labels": {"kind": "map"},
        },
    }
)


def thing(number: int, **about: Any) -> Artifact:
    moment = START + timedelta(seconds=number)
    plain = {
        "id": f"{number:08d}-0000-0000-0000-000000000000",
        "type_name": KIND.name,
        "name": f"thing{number}",
        "version": "1.0.0",
        "owner": "p1",
        "created_at": moment,
        "updated_at": moment,
    }
    return Artifact(**(plain | about))


class ArtifactContract:
    """Mixed into the test classes that have a fixture `unit_of_work`."""

    @pytest.fixture(autouse=True)
    def _take(self, unit_of_work: UnitOfWork) -> None:
        self.uow = unit_of_work

    def keep(self, *artifacts: Artifact, kind: ArtifactType = KIND) -> None:
        def work(tx: Transaction) -> None:
            for each in artifacts:
                tx.artifacts.add(each, kind)

        self.uow.write(work)

    def found(self, project: str | None = "p1", *, admin: bool = False, **asked: str) -> list[str]:
        """The names that a query string finds, newest first unless it says otherwise."""
        names = {name.rstrip("_").replace("__", "-"): text for name, text in asked.items()}
        query = parse_artifact_query(list(names.items()), KIND, Limits(), project, is_admin=admin)
        page = self.uow.read(lambda tx: tx.artifacts.list_page(query))
        return [each.name for each in page.artifacts]

    def test_what_is_kept_is_found_as_it_was(self) -> None:
        blob = ArtifactBlob(
            size=3, md5="m", sha1="s", sha256="h", content_type="text/plain", store="a", key="k"
        )
        one = thing(
            1,
            tags=("a", "b"),
            metadata={"key": "värde"},
            fields={"size": 3, "color": "red", "on": True, "labels": {"x": "y"}},
            blobs={"data": blob, "files/a b": structs.replace(blob, url="http://x", store="")},
            description="a\nb",
            activated_at=START,
            status=ArtifactStatus.ACTIVE,
        )
        self.keep(one)
        assert self.uow.read(lambda tx: tx.artifacts.get(one.id)) == one
        with pytest.raises(ArtifactNotFound):
            self.uow.read(lambda tx: tx.artifacts.get("nothing"))

    def test_one_owner_has_a_name_and_version_once(self) -> None:
        one = thing(1)
        self.keep(one, thing(2, name=one.name, version="1.0.1"))
        self.keep(thing(3, name=one.name, owner="p2"), thing(4, name=one.name, type_name="others"))
        with pytest.raises(ArtifactExists):
            self.keep(thing(5, name=one.name))
        other = self.uow.read(lambda tx: tx.artifacts.get(thing(2).id))
        with pytest.raises(ArtifactExists):
            self.uow.write(
                lambda tx: tx.artifacts.update(structs.replace(other, version="1.0.0"), KIND)
            )

    def test_a_change_takes_the_place_of_what_it_was_made_from(self) -> None:
        one = thing(1)
        self.keep(one)
        kept = self.uow.write(
            lambda tx: tx.artifacts.update(structs.replace(one, description="new"), KIND)
        )
        assert kept.revision == one.revision + 1
        assert self.uow.read(lambda tx: tx.artifacts.get(one.id)) == kept
        with pytest.raises(ArtifactChanged):
            self.uow.write(lambda tx: tx.artifacts.update(one, KIND))
        with pytest.raises(ArtifactChanged):
            self.uow.write(lambda tx: tx.artifacts.remove(one))
        self.uow.write(lambda tx: tx.artifacts.remove(kept))
        self.uow.write(lambda tx: tx.artifacts.remove(kept))
        assert self.found() == []

    def test_pages_follow_one_another_whatever_they_are_sorted_by(self) -> None:
        moments = [None, START, START + timedelta(days=1), None, START]
        self.keep(
            *(
                thing(number, version=f"1.{10 - number}.0", activated_at=moment)
                for number, moment in enumerate(moments)
            )
        )
        for sort in ("created_at", "name", "version", "activated_at", "status"):
            for direction in ("asc", "desc"):
                query = ArtifactQuery(
                    type_name=None, project="p1", sees_all=False, sort=sort,
                    descending=direction == "desc", limit=2,
                )  # fmt: skip
                names: list[str] = []
                more = True
                while more:
                    page = self.uow.read(lambda tx, query=query: tx.artifacts.list_page(query))
                    names += [each.name for each in page.artifacts]
                    more = page.has_more
                    query = structs.replace(query, marker=page.artifacts[-1].id)
                whole = self.uow.read(
                    lambda tx, query=query: tx.artifacts.list_page(
                        structs.replace(query, marker=None, limit=100)
                    )
                )
                assert names == [each.name for each in whole.artifacts]
                assert len(set(names)) == 5
        with pytest.raises(ListQueryInvalid):
            self.found(marker="nothing")

    def test_versions_have_their_own_order_and_a_latest(self) -> None:
        versions = ["1.9.0", "1.10.0", "1.10.0-rc.2", "1.10.0-rc.10", "2.0.0-alpha"]
        self.keep(
            *(thing(n, name="a", version=text) for n, text in enumerate(versions)),
            thing(9, name="b", version="0.1.0"),
        )

        def page(**asked: str) -> list[str]:
            query = parse_artifact_query(
                [*asked.items(), ("sort", "version:asc")], KIND, Limits(), "p1", is_admin=False
            )
            found = self.uow.read(lambda tx: tx.artifacts.list_page(query)).artifacts
            return [each.version for each in found]

        assert page(name="a") == ["1.9.0", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.0", "2.0.0-alpha"]
        assert page(version="gte:1.10.0") == ["1.10.0", "2.0.0-alpha"]
        assert page(version="lt:1.10") == ["0.1.0", "1.9.0", "1.10.0-rc.2", "1.10.0-rc.10"]
        assert page(version="latest") == ["0.1.0", "2.0.0-alpha"]
        assert page(version="latest", name="a") == ["2.0.0-alpha"]

    def test_filters_on_fields_tags_metadata_and_words(self) -> None:
        self.keep(
            thing(1, fields={"size": 2, "color": "red", "on": True}, tags=("a", "b")),
            thing(2, fields={"size": 10, "color": "blue"}, tags=("a",), description="Wide Open"),
            thing(3, fields={"labels": {"env": "prod"}}, metadata={"env": "test", "x_y": "1"}),
        )
        assert self.found(size="10") == ["thing2"]
        assert self.found(size="gt:2") == ["thing2"]
        assert self.found(size="lte:10") == ["thing2", "thing1"]
        assert self.found(color="in:red,green") == ["thing1"]
        assert self.found(color="neq:red") == ["thing2"]
        assert self.found(color="like:%u%") == ["thing2"]
        assert self.found(on="true") == ["thing1"]
        assert self.found(tags="a,b") == ["thing1"]
        assert self.found(tags__any="b,c") == ["thing1"]
        assert self.found(**{"metadata.env": "test"}) == ["thing3"]
        assert self.found(**{"labels.env": "prod"}) == ["thing3"]
        assert self.found(q="wide") == ["thing2"]
        assert self.found(q="op WID") == ["thing2"]
        assert self.found(q="wide red") == []
        assert self.found(name="like:thing_") == []
        assert self.found(created_at="gt:2030-01-01T00:00:02") == ["thing3"]
        for wrong in ({"nope": "1"}, {"size": "big"}, {"sort": "color:asc"}, {"limit": "0"}):
            with pytest.raises(ListQueryInvalid):
                self.found(**wrong)

    def test_others_are_found_only_where_they_are_public(self) -> None:
        self.keep(
            thing(1, owner="p2"),
            thing(2, owner="p2", visibility=ArtifactVisibility.PUBLIC),
            thing(3, owner=None),
        )
        assert self.found() == ["thing2"]
        assert self.found("p2") == ["thing2", "thing1"]
        assert self.found(admin=True) == ["thing3", "thing2", "thing1"]
        with pytest.raises(ListQueryInvalid):
            self.found(marker=thing(1).id)

    def test_links_are_known_from_both_ends(self) -> None:
        one, two, three = thing(1), thing(2), thing(3)
        self.keep(one, two)
        self.keep(structs.replace(three, fields={"needs": [two.id, one.id]}))

        def ends() -> tuple[list[str], list[str]]:
            return self.uow.read(
                lambda tx: (
                    list(tx.artifacts.dependencies(three.id)),
                    list(tx.artifacts.dependents(one.id)),
                )
            )

        assert ends() == ([one.id, two.id], [three.id])
        kept = self.uow.read(lambda tx: tx.artifacts.get(three.id))
        self.uow.write(lambda tx: tx.artifacts.update(structs.replace(kept, fields={}), KIND))
        assert ends() == ([], [])

    def test_what_a_project_has_is_counted(self) -> None:
        blob = ArtifactBlob(size=3, md5="", sha1="", sha256="", content_type="", store="a", key="k")
        away = structs.replace(blob, url="http://x")
        self.keep(thing(1, blobs={"a": blob, "b": blob, "c": away}), thing(2), thing(3, owner="p2"))
        usage = self.uow.read(lambda tx: tx.artifacts.usage("p1", KIND.name))
        assert usage == ArtifactUsage(count=2, size=6)

    def test_declared_types_are_a_projects_own(self) -> None:
        newer = structs.replace(KIND, description="newer")
        self.uow.write(lambda tx: tx.artifacts.add_type("p1", KIND))
        self.uow.write(lambda tx: tx.artifacts.add_type("p1", newer))
        assert list(self.uow.read(lambda tx: tx.artifacts.types("p1"))) == [newer]
        assert list(self.uow.read(lambda tx: tx.artifacts.types("p2"))) == []
        assert list(self.uow.read(lambda tx: tx.artifacts.types(None))) == []
