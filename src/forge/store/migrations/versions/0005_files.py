"""Uploads and artifacts, by name and version."""

import sqlalchemy as sa
from alembic import op

revision = "0005_files"
down_revision = "0004_conversations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "files",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user_id", sa.String, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("conversation_id", sa.String, nullable=True),
        sa.Column("run_id", sa.String, nullable=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_index("files_by_user", "files", ["user_id", "id"])
    op.create_index("files_by_conversation", "files", ["conversation_id", "name", "version"])
    op.create_index("files_by_digest", "files", ["sha256"])


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_table("files")
