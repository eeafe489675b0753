"""The catalog's alembic scripts."""
