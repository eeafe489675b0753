"""What alembic runs."""

from alembic import context

from kilo_common.db import alembic_env

alembic_env.run(context)
