"""Images, their search tables, the blobs to remove and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_UTF8 = "utf8mb4"


def _text(length: int) -> sa.types.TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def _long_text() -> sa.types.TypeEngine[str]:
    binary = mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return (
        sa.Text()
        .with_variant(sa.Text(collation="C"), "postgresql")
        .with_variant(binary, "mysql", "mariadb")
    )


def upgrade() -> None:
    """Make all tables."""
    _create_images()
    _create_search_tables()
    _create_work_tables()


def downgrade() -> None:
    """Drop all tables."""
    for table in ("outbox", "doomed_blobs", "image_properties", "image_tags", "images"):
        op.drop_table(table)


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("id", _text(36), primary_key=True),
        sa.Column("owner", _text(255)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("name", _text(255)),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("visibility", _text(16), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("os_hidden", sa.Boolean, nullable=False),
        sa.Column("disk_format", _text(32)),
        sa.Column("container_format", _text(32)),
        sa.Column("size", sa.BigInteger),
        sa.Column("virtual_size", sa.BigInteger),
        sa.Column("min_disk", sa.BigInteger, nullable=False),
        sa.Column("min_ram", sa.BigInteger, nullable=False),
        sa.Column("checksum", _text(32)),
        sa.Column("os_hash_algo", _text(16)),
        sa.Column("os_hash_value", _text(128)),
        sa.Column("tags", _long_text(), nullable=False),
        sa.Column("properties", _long_text(), nullable=False),
        sa.Column("locations", _long_text(), nullable=False),
        sa.Column("upload_id", _text(36)),
        sa.Column("upload_store", _text(255)),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    for name, columns in (
        ("ix_images_newest", ["deleted", "created_at", "id"]),
        ("ix_images_owner", ["owner", "deleted", "created_at", "id"]),
        ("ix_images_visibility", ["visibility", "deleted", "created_at", "id"]),
        ("ix_images_lease", ["lease_until"]),
    ):
        op.create_index(name, "images", columns)


def _create_search_tables() -> None:
    op.create_table(
        "image_tags",
        sa.Column("image_id", _text(36), sa.ForeignKey("images.id"), primary_key=True),
        sa.Column("tag", _text(255), primary_key=True),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_image_tags_tag", "image_tags", ["tag", "image_id"])
    op.create_table(
        "image_properties",
        sa.Column("image_id", _text(36), sa.ForeignKey("images.id"), primary_key=True),
        sa.Column("name", _text(255), primary_key=True),
        sa.Column("value", _long_text(), nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_image_properties_name", "image_properties", ["name", "image_id"])


def _create_work_tables() -> None:
    op.create_table(
        "doomed_blobs",
        sa.Column("store", _text(255), primary_key=True),
        sa.Column("key", _text(255), primary_key=True),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_doomed_blobs_due_at", "doomed_blobs", ["due_at"])
    op.create_table(
        "outbox",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("event_id", _text(36), nullable=False),
        sa.Column("event_type", _text(64), nullable=False),
        sa.Column("payload", _long_text(), nullable=False),
        sa.Column("context", _long_text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
