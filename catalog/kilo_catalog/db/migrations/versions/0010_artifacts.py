"""Artifacts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0008"

_UTF8 = "utf8mb4"
_TABLES = ("artifacts", "artifact_values", "artifact_words", "artifact_links", "artifact_types")


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
    """Make the tables of artifacts, of what they are found by, and of declared types."""
    op.create_table(
        "artifacts",
        sa.Column("id", _text(36), primary_key=True),
        sa.Column("type_name", _text(64), nullable=False),
        sa.Column("name", _text(255), nullable=False),
        sa.Column("version", _text(128), nullable=False),
        sa.Column("version_key", _text(255), nullable=False),
        sa.Column("owner", _text(255)),
        sa.Column("identity", _text(64), nullable=False, unique=True),
        sa.Column("status", _text(16), nullable=False),
        sa.Column("visibility", _text(16), nullable=False),
        sa.Column("description", _long_text(), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("activated_at", sa.BigInteger),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("document", _long_text(), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    order = ["created_at", "id"]
    op.create_index("ix_artifacts_owner", "artifacts", ["owner", "type_name", *order])
    op.create_index("ix_artifacts_visibility", "artifacts", ["visibility", "type_name", *order])
    op.create_index("ix_artifacts_newest", "artifacts", ["type_name", *order])
    op.create_index("ix_artifacts_versions", "artifacts", ["type_name", "name", "version_key"])
    op.create_table(
        "artifact_values",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        _artifact_id(),
        sa.Column("field", _text(255), nullable=False),
        sa.Column("text", _text(255), nullable=False),
        sa.Column("number", sa.Double),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_artifact_values_artifact", "artifact_values", ["artifact_id", "field"])
    op.create_index("ix_artifact_values_text", "artifact_values", ["field", "text"])
    op.create_table(
        "artifact_words",
        _artifact_id(primary_key=True),
        sa.Column("word", _text(64), primary_key=True),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_artifact_words_word", "artifact_words", ["word", "artifact_id"])
    op.create_table(
        "artifact_links",
        _artifact_id(primary_key=True),
        sa.Column("field", _text(64), primary_key=True),
        sa.Column("target_id", _text(36), sa.ForeignKey("artifacts.id"), primary_key=True),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )
    op.create_index("ix_artifact_links_target", "artifact_links", ["target_id"])
    op.create_table(
        "artifact_types",
        sa.Column("owner", _text(255), primary_key=True),
        sa.Column("name", _text(64), primary_key=True),
        sa.Column("document", _long_text(), nullable=False),
        mysql_charset=_UTF8,
        mariadb_charset=_UTF8,
    )


def downgrade() -> None:
    """Take them away."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _artifact_id(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "artifact_id",
        _text(36),
        sa.ForeignKey("artifacts.id"),
        primary_key=primary_key,
        nullable=False,
    )
