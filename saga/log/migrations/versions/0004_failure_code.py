"""Keep the code of a step's last failure where it can be asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STEPS = sa.table(
    "steps",
    sa.column("saga_id"),
    sa.column("step"),
    sa.column("failure", sa.JSON()),
    sa.column("failure_code"),
)


def upgrade() -> None:
    op.add_column("steps", sa.Column("failure_code", sa.String(length=128), nullable=True))
    connection = op.get_bind()
    # Not in SQL: PostgreSQL does not read into JSON that holds a character of code 0.
    failed = connection.execute(
        sa.select(_STEPS.c.saga_id, _STEPS.c.step, _STEPS.c.failure).where(_STEPS.c.failure.is_not(None))
    )
    found = [{"id": row.saga_id, "name": row.step, "code": (row.failure or {}).get("code")} for row in failed]
    codes = [one for one in found if isinstance(one["code"], str) and len(one["code"]) <= 128]
    codes = [one for one in codes if "\x00" not in one["code"]]
    if codes:
        statement = sa.update(_STEPS).where(
            _STEPS.c.saga_id == sa.bindparam("id"), _STEPS.c.step == sa.bindparam("name")
        )
        connection.execute(statement.values(failure_code=sa.bindparam("code")), codes)


def downgrade() -> None:
    op.drop_column("steps", "failure_code")
