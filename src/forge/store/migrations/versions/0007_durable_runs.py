"""What people tell a run, answers to repeated requests, and who carries runs out."""

import sqlalchemy as sa
from alembic import op

revision = "0007_durable_runs"
down_revision = "0006_preferences"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "run_orders",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("taken_at", sa.String, nullable=True),
    )
    op.create_index("run_orders_by_run", "run_orders", ["run_id", "id"])
    op.create_table(
        "idempotency",
        sa.Column("user_id", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("request_hash", sa.String, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("body", sa.Text, nullable=True),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_index("idempotency_by_age", "idempotency", ["created_at"])
    op.create_table(
        "workers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("started_at", sa.String, nullable=False),
        sa.Column("beat_at", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
    )


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_table("workers")
    op.drop_table("idempotency")
    op.drop_table("run_orders")
