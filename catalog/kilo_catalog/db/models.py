"""The catalog's tables, as SQLAlchemy Core describes them.

An image is one row: its tags, properties and locations are in it as JSON, so that showing an
image or a page of them is one query. The two search tables repeat tags and properties for filters.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from kilo_common.db.types import Timestamp

metadata = sa.MetaData()
_UTF8 = "utf8mb4"


def text(length: int) -> sa.types.TypeEngine[str]:
    """Text that is compared byte by byte on each database: `A` is not `a`."""
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def long_text() -> sa.types.TypeEngine[str]:
    """Text of any length a request can have, compared like `text`."""
    binary = mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.Text()
        .with_variant(sa.Text(collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


images = sa.Table(
    "images",
    metadata,
    sa.Column("id", text(36), primary_key=True),
    sa.Column("owner", text(255)),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("name", text(255)),
    sa.Column("status", text(16), nullable=False),
    sa.Column("visibility", text(16), nullable=False),
    sa.Column("protected", sa.Boolean, nullable=False),
    sa.Column("os_hidden", sa.Boolean, nullable=False),
    sa.Column("disk_format", text(32)),
    sa.Column("container_format", text(32)),
    sa.Column("size", sa.BigInteger),
    sa.Column("virtual_size", sa.BigInteger),
    sa.Column("min_disk", sa.BigInteger, nullable=False),
    sa.Column("min_ram", sa.BigInteger, nullable=False),
    sa.Column("checksum", text(32)),
    sa.Column("os_hash_algo", text(16)),
    sa.Column("os_hash_value", text(128)),
    sa.Column("tags", long_text(), nullable=False),
    sa.Column("properties", long_text(), nullable=False),
    sa.Column("locations", long_text(), nullable=False),
    sa.Column("upload_id", text(36)),
    sa.Column("upload_store", text(255)),
    sa.Column("lease_until", Timestamp),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("staged", long_text()),
    sa.Column("imports", long_text()),
    sa.Column("findings", long_text()),
    sa.Column("resumable", long_text()),
    # Each index serves one branch of a listing in its default order.
    sa.Index("ix_images_newest", "deleted", "created_at", "id"),
    sa.Index("ix_images_owner", "owner", "deleted", "created_at", "id"),
    sa.Index("ix_images_visibility", "visibility", "deleted", "created_at", "id"),
    sa.Index("ix_images_lease", "lease_until"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

image_tags = sa.Table(
    "image_tags",
    metadata,
    sa.Column("image_id", text(36), sa.ForeignKey("images.id"), primary_key=True),
    sa.Column("tag", text(255), primary_key=True),
    sa.Index("ix_image_tags_tag", "tag", "image_id"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

image_properties = sa.Table(
    "image_properties",
    metadata,
    sa.Column("image_id", text(36), sa.ForeignKey("images.id"), primary_key=True),
    sa.Column("name", text(255), primary_key=True),
    sa.Column("value", long_text(), nullable=False),
    sa.Index("ix_image_properties_name", "name", "image_id"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

image_members = sa.Table(
    "image_members",
    metadata,
    sa.Column("image_id", text(36), sa.ForeignKey("images.id"), primary_key=True),
    sa.Column("project_id", text(255), primary_key=True),
    sa.Column("status", text(16), nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    # The image's own creation, which never changes: a listing in its default order follows the
    # index, however many images are shared with a project.
    sa.Column("image_created_at", Timestamp, nullable=False),
    sa.Index("ix_image_members_shared", "project_id", "status", "image_created_at", "image_id"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

metadef_namespaces = sa.Table(
    "metadef_namespaces",
    metadata,
    sa.Column("id", text(36), primary_key=True),
    sa.Column("name", text(80), nullable=False),
    sa.Column("owner", text(255)),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("display_name", text(80)),
    sa.Column("description", long_text()),
    sa.Column("visibility", text(16), nullable=False),
    sa.Column("protected", sa.Boolean, nullable=False),
    sa.Column("associations", long_text(), nullable=False),
    sa.Column("objects", long_text(), nullable=False),
    sa.Column("properties", long_text(), nullable=False),
    sa.Column("tags", long_text(), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("ix_metadef_namespaces_name", "name", unique=True),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

metadef_associations = sa.Table(
    "metadef_associations",
    metadata,
    sa.Column("namespace_id", text(36), sa.ForeignKey("metadef_namespaces.id"), primary_key=True),
    sa.Column("resource_type", text(80), primary_key=True),
    sa.Index("ix_metadef_associations_type", "resource_type", "namespace_id"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

metadef_resource_types = sa.Table(
    "metadef_resource_types",
    metadata,
    sa.Column("name", text(80), primary_key=True),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

doomed_blobs = sa.Table(
    "doomed_blobs",
    metadata,
    sa.Column("store", text(255), primary_key=True),
    sa.Column("key", text(255), primary_key=True),
    sa.Column("due_at", Timestamp, nullable=False, index=True),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column(
        "sequence",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("event_id", text(36), nullable=False),
    sa.Column("event_type", text(64), nullable=False),
    sa.Column("payload", long_text(), nullable=False),
    sa.Column("context", long_text(), nullable=False),
    sa.Column("occurred_at", Timestamp, nullable=False),
    sa.Column("lease_until", Timestamp, nullable=False),
    sqlite_autoincrement=True,
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", text(36), primary_key=True),
    sa.Column("type", text(64), nullable=False),
    sa.Column("status", text(16), nullable=False),
    sa.Column("owner", text(255)),
    sa.Column("image_id", text(36)),
    sa.Column("request_id", text(64)),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("expires_at", Timestamp),
    sa.Column("holder", text(64)),
    sa.Column("lease_until", Timestamp),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("rest", long_text(), nullable=False),
    # Who looks for work reads those that wait or are held, however many have ended.
    sa.Index("ix_tasks_status", "status", "created_at", "id"),
    sa.Index("ix_tasks_newest", "created_at", "id"),
    sa.Index("ix_tasks_image", "image_id", "created_at", "id"),
    sa.Index("ix_tasks_expiry", "expires_at"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

image_cache = sa.Table(
    "image_cache",
    metadata,
    sa.Column("node", text(255), primary_key=True),
    sa.Column("image_id", text(36), primary_key=True),
    sa.Column("queued_at", Timestamp),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("hits", sa.BigInteger, nullable=False),
    sa.Column("cached_at", Timestamp),
    sa.Column("accessed_at", Timestamp),
    sa.Column("blob", text(128), nullable=False),
    sa.Index("ix_image_cache_image", "image_id"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)
