"""Create the log: sagas, steps, labels, facts, rejected messages, positions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "facts",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("saga_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("stored_at", sa.String(length=32), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "sequence"),
    )
    op.create_index(op.f("ix_facts_saga_id"), "facts", ["saga_id"], unique=False)

    op.create_table(
        "labels",
        sa.Column("saga_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("saga_id", "name"),
    )
    op.create_index(op.f("ix_labels_value"), "labels", ["value"], unique=False)

    op.create_table(
        "positions",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.create_table(
        "rejected",
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stored_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("partition", "sequence"),
    )
    op.create_table(
        "sagas",
        sa.Column("saga_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("correlation_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("updated_at", sa.String(length=32), nullable=False),
        sa.Column("ended_at", sa.String(length=32), nullable=True),
        sa.Column("duration_ms", sa.Float(), nullable=True),
        sa.Column("ended_sequence", sa.BigInteger(), nullable=True),
        sa.Column("outcome_stated", sa.Boolean(), nullable=False),
        sa.Column("input", sa.JSON(), nullable=True),
        sa.Column("abort", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("saga_id"),
    )
    op.create_index(op.f("ix_sagas_correlation_id"), "sagas", ["correlation_id"], unique=False)
    op.create_index("ix_sagas_name", "sagas", ["name", "started_at", "saga_id"], unique=False)
    op.create_index("ix_sagas_started", "sagas", ["started_at", "saga_id"], unique=False)
    op.create_index("ix_sagas_status", "sagas", ["status", "started_at", "saga_id"], unique=False)

    op.create_table(
        "steps",
        sa.Column("saga_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("opened", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=True),
        sa.Column("ended_at", sa.String(length=32), nullable=True),
        sa.Column("closed_at", sa.String(length=32), nullable=True),
        sa.Column("duration_ms", sa.Float(), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("saga_id", "step"),
    )


def downgrade() -> None:
    op.drop_table("steps")
    op.drop_index("ix_sagas_status")
    op.drop_index("ix_sagas_started")
    op.drop_index("ix_sagas_name")
    op.drop_index(op.f("ix_sagas_correlation_id"))

    op.drop_table("sagas")
    op.drop_table("rejected")
    op.drop_table("positions")
    op.drop_index(op.f("ix_labels_value"))

    op.drop_table("labels")
    op.drop_index(op.f("ix_facts_saga_id"))

    op.drop_table("facts")
