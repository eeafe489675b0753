"""The schema's history: alembic scripts, one per revision."""
