"""The tables, as SQLAlchemy Core sees them. Their history is in `migrations/`.

`runs` is an index for lists: everything in it can be made again from `events`, which is the
ledger itself and is never updated. Times are ISO 8601 text in UTC, exactly as hashed.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()

RUNS = Table(
    "runs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("created_at", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("model", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", String, nullable=False),
    Column("finished_at", String, nullable=True),
    Index("runs_by_status", "status"),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("run_id", String, ForeignKey("runs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", String, nullable=False),
    Column("hash", String, nullable=False),
    sqlite_with_rowid=False,
)
