"""What every service's alembic `env.py` does: run the scripts on the connection it was given."""

from typing import Any


def run(context: Any) -> None:
    """Run the migrations of `context` (the module `alembic.context`) inside one transaction."""
    attributes = context.config.attributes
    connection = attributes["connection"]
    context.configure(
        connection=connection,
        version_table=attributes["schema"].version_table,
        # SQLite alters a table by copying it.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
