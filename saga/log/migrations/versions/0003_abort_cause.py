"""Keep why a saga was aborted where it can be asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SAGAS = sa.table("sagas", sa.column("saga_id"), sa.column("abort", sa.JSON()), sa.column("abort_cause"))


def upgrade() -> None:
    op.add_column("sagas", sa.Column("abort_cause", sa.String(length=16), nullable=True))
    connection = op.get_bind()
    # Not in SQL: PostgreSQL does not read into JSON that holds a character of code 0.
    aborted = connection.execute(
        sa.select(_SAGAS.c.saga_id, _SAGAS.c.abort).where(_SAGAS.c.abort.is_not(None))
    )
    found = [{"id": row.saga_id, "cause": (row.abort or {}).get("cause")} for row in aborted]
    causes = [one for one in found if one["cause"] in ("step", "cancel", "deadline", "parent")]
    if causes:
        statement = sa.update(_SAGAS).where(_SAGAS.c.saga_id == sa.bindparam("id"))
        connection.execute(statement.values(abort_cause=sa.bindparam("cause")), causes)


def downgrade() -> None:
    op.drop_column("sagas", "abort_cause")
