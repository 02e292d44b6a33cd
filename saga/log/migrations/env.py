"""Alembic's entry: runs the migrations on the connection that `saga.log.store` hands over."""

from alembic import context

from saga.log.tables import LogTable

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=LogTable.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
