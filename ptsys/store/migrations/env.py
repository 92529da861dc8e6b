"""What alembic runs for every command: on the connection, and in the transaction, it is given."""

from alembic import context

from ptsys.store.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    compare_type=True,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
