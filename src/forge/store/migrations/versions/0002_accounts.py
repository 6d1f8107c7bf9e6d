"""Users, who they are elsewhere, and where they are logged in."""

import sqlalchemy as sa
from alembic import op

revision = "0002_accounts"
down_revision = "0001_run_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "users",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("email", sa.String, nullable=True, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("password", sa.String, nullable=True),
        sa.Column("disabled_at", sa.String, nullable=True),
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String, primary_key=True),
        sa.Column("subject", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("used_at", sa.String, nullable=False),
        sa.Column("expires_at", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
    )
    op.create_index("sessions_by_user", "sessions", ["user_id"])


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_table("sessions")
    op.drop_table("identities")
    op.drop_table("users")
