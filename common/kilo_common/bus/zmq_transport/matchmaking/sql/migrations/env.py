"""Runs the matchmaker's migrations on the connection that `kilo_common.db.migrate` hands over."""

from alembic import context

from kilo_common.db import alembic_env

alembic_env.run(context)
