"""What Alembic runs for each migration: it uses the connection it is given and its transaction.

The caller holds the write lock and commits, so a migration is there whole or not at all.
"""

from alembic import context

from forge.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
