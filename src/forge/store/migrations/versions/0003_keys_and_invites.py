"""Keys for programs, one-time links, and what happened to accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0003_keys_and_invites"
down_revision = "0002_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("token_hash", sa.String, nullable=False, unique=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("hint", sa.String, nullable=False),
        sa.Column("scopes", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("expires_at", sa.String, nullable=True),
        sa.Column("used_at", sa.String, nullable=True),
        sa.Column("revoked_at", sa.String, nullable=True),
    )
    op.create_index("api_keys_by_user", "api_keys", ["user_id"])
    op.create_table(
        "invites",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("token_hash", sa.String, nullable=False, unique=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("created_by", sa.String, nullable=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("expires_at", sa.String, nullable=False),
        sa.Column("used_by", sa.String, nullable=True),
        sa.Column("used_at", sa.String, nullable=True),
    )
    op.create_table(
        "account_events",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=True),
        sa.Column("actor_id", sa.String, nullable=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("account_events_by_user", "account_events", ["user_id", "id"])


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_table("account_events")
    op.drop_table("invites")
    op.drop_table("api_keys")
