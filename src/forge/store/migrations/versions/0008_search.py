"""Full-text search in what was said: an index of words, kept by the database beside its rows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0008_search"
down_revision = "0007_durable_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its index."""
    op.create_table(
        "search",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("conversation_id", sa.String, nullable=False),
        sa.Column("message_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("words", sa.Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
    )
    op.create_index("search_by_message", "search", ["conversation_id", "message_id"], unique=True)
    op.create_index("search_by_user", "search", ["user_id", "number"])
    if op.get_context().dialect.name == "postgresql":
        op.create_index("search_by_words", "search", ["words"], postgresql_using="gin")
    else:
        _index_in_sqlite()


def _index_in_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5("
        "words, content='search', content_rowid='number', prefix='3')"
    )
    op.execute(
        "CREATE TRIGGER search_added AFTER INSERT ON search BEGIN "
        "INSERT INTO search_index (rowid, words) VALUES (new.number, new.words); END"
    )
    op.execute(
        "CREATE TRIGGER search_removed AFTER DELETE ON search BEGIN "
        "INSERT INTO search_index (search_index, rowid, words) "
        "VALUES ('delete', old.number, old.words); END"
    )


def downgrade() -> None:
    """Drop them, and what is in them."""
    if op.get_context().dialect.name != "postgresql":
        op.execute("DROP TABLE search_index")
    op.drop_table("search")
