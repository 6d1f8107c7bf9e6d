"""Conversations as trees of messages, shared links, and whose a run is."""

import sqlalchemy as sa
from alembic import op

revision = "0004_conversations"
down_revision = "0003_keys_and_invites"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("updated_at", sa.String, nullable=False),
        sa.Column("head_id", sa.String, nullable=True),
        sa.Column("forked_from", sa.String, nullable=True),
    )
    op.create_index("conversations_by_user", "conversations", ["user_id", "updated_at", "id"])
    op.create_table(
        "messages",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("conversation_id", sa.String, sa.ForeignKey("conversations.id"), nullable=False),
        sa.Column("parent_id", sa.String, nullable=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("run_id", sa.String, nullable=True),
    )
    op.create_index("messages_by_conversation", "messages", ["conversation_id", "id"])
    op.create_index("messages_by_run", "messages", ["run_id"])
    op.create_table(
        "shares",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("token_hash", sa.String, nullable=False, unique=True),
        sa.Column("conversation_id", sa.String, sa.ForeignKey("conversations.id"), nullable=False),
        sa.Column("head_id", sa.String, nullable=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("revoked_at", sa.String, nullable=True),
    )
    op.create_index("shares_by_conversation", "shares", ["conversation_id"])
    # No foreign key: SQLite cannot add one without copying the table.
    op.add_column("runs", sa.Column("user_id", sa.String, nullable=True))
    op.add_column("runs", sa.Column("conversation_id", sa.String, nullable=True))
    op.create_index("runs_by_user", "runs", ["user_id", "id"])
    op.create_index("runs_by_conversation", "runs", ["conversation_id"])


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_index("runs_by_conversation", "runs")
    op.drop_index("runs_by_user", "runs")
    op.drop_column("runs", "conversation_id")
    op.drop_column("runs", "user_id")
    op.drop_table("shares")
    op.drop_table("messages")
    op.drop_table("conversations")
