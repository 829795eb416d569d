"""Runs migrations on the connection that `leakdetect.store.migrate` gives."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
