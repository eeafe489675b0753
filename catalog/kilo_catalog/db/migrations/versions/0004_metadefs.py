"""Metadata definitions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

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
    """Make the tables of namespaces, their associations and the resource types."""
    op.create_table(
        "metadef_namespaces",
        sa.Column("id", _text(36), primary_key=True),
        sa.Column("name", _text(80), nullable=False),
        sa.Column("owner", _text(255)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("display_name", _text(80)),
        sa.Column("description", _long_text()),
        sa.Column("visibility", _text(16), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("associations", _long_text(), nullable=False),
        sa.Column("objects", _long_text(), nullable=False),
        sa.Column("properties", _long_text(), nullable=False),
        sa.Column("tags", _long_text(), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_metadef_namespaces_name", "metadef_namespaces", ["name"], unique=True)
    op.create_table(
        "metadef_associations",
        sa.Column(
            "namespace_id", _text(36), sa.ForeignKey("metadef_namespaces.id"), primary_key=True
        ),
        sa.Column("resource_type", _text(80), primary_key=True),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index(
        "ix_metadef_associations_type", "metadef_associations", ["resource_type", "namespace_id"]
    )
    op.create_table(
        "metadef_resource_types",
        sa.Column("name", _text(80), primary_key=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("metadef_associations")
    op.drop_table("metadef_namespaces")
    op.drop_table("metadef_resource_types")
