"""The tables of artifacts.

An artifact is one row, with its fields and blobs in it as JSON: to show one, or a page of them, is
one query. The other tables repeat what they are found by: values of fields, words, and links.
"""

import sqlalchemy as sa

from kilo_catalog.db.models import long_text, metadata, text
from kilo_common.db.types import Timestamp

_UTF8 = "utf8mb4"

artifacts = sa.Table(
    "artifacts",
    metadata,
    sa.Column("id", text(36), primary_key=True),
    sa.Column("type_name", text(64), nullable=False),
    sa.Column("name", text(255), nullable=False),
    sa.Column("version", text(128), nullable=False),
    # What versions are ordered by; see `domain.artifact_version.sort_key`.
    sa.Column("version_key", text(255), nullable=False),
    sa.Column("owner", text(255)),
    # A hash of owner, type, name and version: longer together than an index may be.
    sa.Column("identity", text(64), nullable=False, unique=True),
    sa.Column("status", text(16), nullable=False),
    sa.Column("visibility", text(16), nullable=False),
    sa.Column("description", long_text(), nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("activated_at", Timestamp),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("document", long_text(), nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Index("ix_artifacts_owner", "owner", "type_name", "created_at", "id"),
    sa.Index("ix_artifacts_visibility", "visibility", "type_name", "created_at", "id"),
    sa.Index("ix_artifacts_newest", "type_name", "created_at", "id"),
    sa.Index("ix_artifacts_versions", "type_name", "name", "version_key"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

artifact_values = sa.Table(
    "artifact_values",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("artifact_id", text(36), sa.ForeignKey("artifacts.id"), nullable=False),
    sa.Column("field", text(255), nullable=False),
    # Only the beginning: what is longer is compared in the row itself by nobody.
    sa.Column("text", text(255), nullable=False),
    sa.Column("number", sa.Double),
    sa.Index("ix_artifact_values_artifact", "artifact_id", "field"),
    sa.Index("ix_artifact_values_text", "field", "text"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

artifact_words = sa.Table(
    "artifact_words",
    metadata,
    sa.Column("artifact_id", text(36), sa.ForeignKey("artifacts.id"), primary_key=True),
    sa.Column("word", text(64), primary_key=True),
    sa.Index("ix_artifact_words_word", "word", "artifact_id"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

artifact_links = sa.Table(
    "artifact_links",
    metadata,
    sa.Column("artifact_id", text(36), sa.ForeignKey("artifacts.id"), primary_key=True),
    sa.Column("field", text(64), primary_key=True),
    sa.Column("target_id", text(36), sa.ForeignKey("artifacts.id"), primary_key=True),
    sa.Index("ix_artifact_links_target", "target_id"),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)

artifact_types = sa.Table(
    "artifact_types",
    metadata,
    sa.Column("owner", text(255), primary_key=True),
    sa.Column("name", text(64), primary_key=True),
    sa.Column("document", long_text(), nullable=False),
    mysql_charset=_UTF8,
    mariadb_charset=_UTF8,
)
