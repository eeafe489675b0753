"""Image records in an SQL database: SQLite, PostgreSQL or MariaDB, through SQLAlchemy Core."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from kilo_catalog.db.base import ClaimedEvent, Doomed, Event, T, UnitOfWork, Usage, Work
from kilo_catalog.db.models import (
    doomed_blobs,
    image_members,
    image_properties,
    image_tags,
    images,
    outbox,
)
from kilo_catalog.db.sql_artifact import SqlArtifacts
from kilo_catalog.db.sql_cache import SqlCache
from kilo_catalog.db.sql_listing import page_statement
from kilo_catalog.db.sql_members import SqlMembers
from kilo_catalog.db.sql_metadef import SqlMetadefs
from kilo_catalog.db.sql_task import SqlTasks
from kilo_catalog.domain.findings import Findings
from kilo_catalog.domain.image import (
    FILLING,
    STAGED,
    Image,
    ImageStatus,
    ImportState,
    Location,
    Resumable,
    Staged,
    UploadClaim,
    Visibility,
    filled_until,
)
from kilo_catalog.domain.listing import ImagePage, ListQuery, in_reach
from kilo_catalog.domain.locations import has_blob
from kilo_catalog.domain.member import MemberStatus
from kilo_catalog.errors import ImageChanged, ImageIdTaken, ImageNotFound, ListQueryInvalid
from kilo_common.db.database import Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUSES = {each.value: each for each in ImageStatus}
_VISIBILITIES = {each.value: each for each in Visibility}
_SELECT_ONE = sa.select(images).where(
    images.c.id == sa.bindparam("image_id"), images.c.deleted.is_(sa.false())
)
# Writers of one image wait in line instead of failing each other's version check. SQLite has one
# writer anyway and knows no such clause.
_LOCK_ONE = _SELECT_ONE.with_for_update()
_UPDATE = sa.update(images).where(
    images.c.id == sa.bindparam("match_id"), images.c.version == sa.bindparam("match_version")
)
_INSERT, _INSERT_TAGS, _INSERT_PROPERTIES, _INSERT_EVENT = map(
    sa.insert, (images, image_tags, image_properties, outbox)
)
"""Statements made once: to make one takes SQLAlchemy as long as to run it."""
_FORGET = tuple(
    sa.delete(table).where(table.c.image_id == sa.bindparam("image_id"))
    for table in (image_tags, image_properties)
)
_PLAIN = (
    "id", "owner", "created_at", "updated_at", "name", "protected", "os_hidden", "disk_format",
    "container_format", "size", "virtual_size", "min_disk", "min_ram", "checksum", "os_hash_algo",
    "os_hash_value", "version",
)  # fmt: skip
_tags = msgspec.json.Decoder(tuple[str, ...])
_properties = msgspec.json.Decoder(dict[str, str])
_locations = msgspec.json.Decoder(tuple[Location, ...])
_staged = msgspec.json.Decoder(Staged)
_imports = msgspec.json.Decoder(ImportState)
_findings = msgspec.json.Decoder(Findings)
_resumable = msgspec.json.Decoder(Resumable)
_object = msgspec.json.Decoder(dict[str, Any])


class SqlUnitOfWork(UnitOfWork):
    """Transactions on one database."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    def _read(self, work: Work[T], *, brief: bool) -> T:
        return self._database.read(
            lambda found: work(_SqlTransaction(found, _SELECT_ONE, locks=False)), brief=brief
        )

    def _write(self, work: Work[T]) -> T:
        return self._database.write(
            lambda found: work(_SqlTransaction(found, _LOCK_ONE, locks=True))
        )

    def check(self) -> None:
        self._database.read(lambda connection: connection.scalar(sa.select(1)))


class _SqlTransaction:
    def __init__(
        self, connection: sa.Connection, select_one: sa.Select[Any], *, locks: bool
    ) -> None:
        self.members = SqlMembers(connection)
        self.metadefs = SqlMetadefs(connection, locks=locks)
        self.images = _Images(connection, select_one, self.members)
        self.doomed = _Doomed(connection)
        self.outbox = _Outbox(connection)
        self.tasks = SqlTasks(connection, locks=locks)
        self.cache = SqlCache(connection)
        self.artifacts = SqlArtifacts(connection, locks=locks)


class _Images:
    def __init__(
        self, connection: sa.Connection, select_one: sa.Select[Any], members: SqlMembers
    ) -> None:
        self._connection = connection
        self._select_one = select_one
        self._members = members

    def add(self, image: Image) -> None:
        try:
            self._connection.execute(_INSERT, _to_row(image))
        except sa.exc.IntegrityError:
            raise ImageIdTaken(f"Image ID {image.id} already exists!", image_id=image.id) from None
        self._index(image.id, image.tags, image.properties)

    def get(self, image_id: str) -> Image:
        row = self._connection.execute(self._select_one, {"image_id": image_id}).first()
        if row is None:
            raise ImageNotFound(image_id)
        return _to_image(row)

    def update(self, image: Image) -> Image:
        kept = msgspec.structs.replace(image, version=image.version + 1)
        matched = self._connection.execute(
            _UPDATE, _to_row(kept) | {"match_id": image.id, "match_version": image.version}
        )
        if matched.rowcount != 1:
            raise ImageChanged(
                "The image was changed by another request; try again", image_id=image.id
            )
        for forget in _FORGET:
            self._connection.execute(forget, {"image_id": image.id})
        if image.status is not ImageStatus.DELETED:
            self._index(image.id, image.tags, image.properties)
        else:
            self._connection.execute(
                sa.delete(image_members).where(image_members.c.image_id == image.id)
            )
        return kept

    def _index(self, image_id: str, tags: Sequence[str], properties: Mapping[str, str]) -> None:
        if tags:
            self._connection.execute(
                _INSERT_TAGS, [{"image_id": image_id, "tag": tag} for tag in tags]
            )
        if properties:
            self._connection.execute(
                _INSERT_PROPERTIES,
                [
                    {"image_id": image_id, "name": name, "value": value}
                    for name, value in properties.items()
                ],
            )

    def list_page(self, query: ListQuery) -> ImagePage:
        if query.limit == 0:
            return ImagePage((), has_more=False)
        marker = self._marker(query) if query.marker is not None else None
        statement, values = page_statement(query, marker)
        found = [_to_image(row) for row in self._connection.execute(statement, values)]
        return ImagePage(tuple(found[: query.limit]), len(found) > query.limit)

    def _marker(self, query: ListQuery) -> Image:
        try:
            marker = self.get(query.marker or "")
        except ImageNotFound:
            marker = None
        if marker is None or not in_reach(marker, query.reach, self._membership(marker, query)):
            raise ListQueryInvalid("The marker is not the id of an image in this list")
        return marker

    def _membership(self, image: Image, query: ListQuery) -> MemberStatus | None:
        if not query.reach.memberships or query.reach.owner is None:
            return None
        member = self._members.find(image.id, query.reach.owner)
        return member.status if member else None

    def list_expired(self, now: datetime, limit: int) -> Sequence[Image]:
        statement = (
            sa.select(images)
            .where(images.c.lease_until < now, images.c.deleted.is_(sa.false()))
            .order_by(images.c.lease_until)
            .limit(limit)
        )
        return [_to_image(row) for row in self._connection.execute(statement)]

    def list_with_data(self, after: str, limit: int) -> Sequence[Image]:
        rows = self._connection.execute(
            sa.select(images)
            .where(~images.c.deleted, images.c.locations != "[]", images.c.id > after)
            .order_by(images.c.id)
            .limit(limit)
        )
        return [_to_image(row) for row in rows]

    def has_blob(self, store: str, key: str) -> bool:
        table, like = images.c, f"%{key}%"
        near = sa.or_(table.locations.like(like), table.staged.like(like), table.upload_id == key)
        rows = self._connection.execute(sa.select(images).where(~table.deleted, near))
        return any(has_blob(_to_image(row), store, key) for row in rows)

    def usage(self, owner: str | None) -> Usage:
        filling = sa.case((images.c.status.in_(_values(FILLING)), 1), else_=0)
        staged = sa.case((images.c.status.in_(_values(STAGED)), images.c.size), else_=0)
        figures = (sa.func.count(), *map(sa.func.sum, (filling, images.c.size, staged)))
        statement = sa.select(*figures).where(
            images.c.owner == owner, images.c.deleted.is_(sa.false())
        )
        found = (int(each or 0) for each in self._connection.execute(statement).one())
        count, uploading, size, waiting = found
        return Usage(count, uploading, size - waiting, waiting)


class _Doomed:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, doomed: Doomed) -> None:
        same = (doomed_blobs.c.store == doomed.store) & (doomed_blobs.c.key == doomed.key)
        present = self._connection.scalar(sa.select(doomed_blobs.c.due_at).where(same))
        values = {"store": doomed.store, "key": doomed.key, "due_at": doomed.due_at}
        if present is None:
            self._connection.execute(sa.insert(doomed_blobs), values)
        elif present < doomed.due_at:
            self._connection.execute(
                sa.update(doomed_blobs).where(same).values(due_at=doomed.due_at)
            )

    def extend(self, store: str, key: str, due_at: datetime) -> None:
        same = (doomed_blobs.c.store == store) & (doomed_blobs.c.key == key)
        self._connection.execute(
            sa.update(doomed_blobs)
            .where(same, doomed_blobs.c.due_at < due_at)
            .values(due_at=due_at)
        )

    def has(self, store: str, key: str) -> bool:
        same = (doomed_blobs.c.store == store) & (doomed_blobs.c.key == key)
        return self._connection.scalar(sa.select(doomed_blobs.c.key).where(same)) is not None

    def list_due(self, now: datetime, limit: int) -> Sequence[Doomed]:
        statement = (
            sa.select(doomed_blobs)
            .where(doomed_blobs.c.due_at <= now)
            .order_by(doomed_blobs.c.due_at)
            .limit(limit)
        )
        return [
            Doomed(row.store, row.key, row.due_at) for row in self._connection.execute(statement)
        ]

    def remove(self, store: str, key: str) -> None:
        self._connection.execute(
            sa.delete(doomed_blobs).where(doomed_blobs.c.store == store, doomed_blobs.c.key == key)
        )


class _Outbox:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.added = 0

    def add(self, event: Event) -> None:
        self.added += 1
        self._connection.execute(
            _INSERT_EVENT,
            {
                "event_id": event.id,
                "event_type": event.event_type,
                "payload": _json(event.payload),
                "context": _json(event.context),
                "occurred_at": event.occurred_at,
                "lease_until": _EPOCH,
            },
        )

    def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[ClaimedEvent]:
        free = (
            sa.select(outbox)
            .where(outbox.c.lease_until <= now)
            .order_by(outbox.c.sequence)
            .limit(limit)
            .with_for_update(skip_locked=True)  # nothing on SQLite: it has one writer anyway
        )
        claimed = [
            ClaimedEvent(row.sequence, _to_event(row)) for row in self._connection.execute(free)
        ]
        self._lease([each.sequence for each in claimed], until)
        return claimed

    def release(self, sequences: Sequence[int], now: datetime) -> None:
        self._lease(sequences, now)

    def remove(self, sequences: Sequence[int]) -> None:
        if sequences:
            self._connection.execute(sa.delete(outbox).where(outbox.c.sequence.in_(sequences)))

    def _lease(self, sequences: Sequence[int], until: datetime) -> None:
        if sequences:
            self._connection.execute(
                sa.update(outbox).where(outbox.c.sequence.in_(sequences)).values(lease_until=until)
            )


def _values(statuses: Iterable[ImageStatus]) -> list[str]:
    return sorted(each.value for each in statuses)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _to_event(row: sa.Row[Any]) -> Event:
    return Event(
        id=row.event_id,
        event_type=row.event_type,
        payload=_object.decode(row.payload),
        context=_object.decode(row.context),
        occurred_at=row.occurred_at,
    )


def _to_row(image: Image) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(image, name) for name in _PLAIN}
    upload = image.upload
    row |= {
        "status": image.status.value,
        "visibility": image.visibility.value,
        "tags": _json(image.tags),
        "properties": _json(image.properties),
        "locations": _json(image.locations),
        "upload_id": upload.id if upload else None,
        "upload_store": upload.store if upload else None,
        "lease_until": filled_until(image),
        "staged": _json(image.staged) if image.staged else None,
        "imports": _json(image.imports) if image.imports else None,
        "findings": _json(image.findings) if image.findings else None,
        "resumable": _json(upload.resumable) if upload and upload.resumable else None,
        "deleted": image.status is ImageStatus.DELETED,
    }
    return row


def _to_image(row: sa.Row[Any]) -> Image:
    # By place, not by name: a page of a list makes many.
    (
        image_id, owner, created_at, updated_at, name, status, visibility, protected, os_hidden,
        disk_format, container_format, size, virtual_size, min_disk, min_ram, checksum,
        os_hash_algo, os_hash_value, tags, properties, locations, upload_id, upload_store,
        lease_until, version, _deleted, staged, imports, findings, resumable,
    ) = tuple(row)  # fmt: skip
    more = _resumable.decode(resumable) if resumable else None
    return Image(
        id=image_id,
        owner=owner,
        created_at=created_at,
        updated_at=updated_at,
        name=name,
        status=_STATUSES[status],
        visibility=_VISIBILITIES[visibility],
        protected=protected,
        os_hidden=os_hidden,
        disk_format=disk_format,
        container_format=container_format,
        size=size,
        virtual_size=virtual_size,
        min_disk=min_disk,
        min_ram=min_ram,
        checksum=checksum,
        os_hash_algo=os_hash_algo,
        os_hash_value=os_hash_value,
        tags=_tags.decode(tags),
        properties=_properties.decode(properties),
        locations=_locations.decode(locations),
        upload=UploadClaim(upload_id, upload_store, lease_until, more) if upload_id else None,
        staged=_staged.decode(staged) if staged else None,
        imports=_imports.decode(imports) if imports else None,
        findings=_findings.decode(findings) if findings else None,
        version=version,
    )
