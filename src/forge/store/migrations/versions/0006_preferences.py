"""Settings of users and of the server, and sealed secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0006_preferences"
down_revision = "0005_files"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "preferences",
        sa.Column("scope", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("updated_at", sa.String, nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("scope", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("updated_at", sa.String, nullable=False),
    )


def downgrade() -> None:
    """Drop them, and what is in them."""
    op.drop_table("secrets")
    op.drop_table("preferences")
