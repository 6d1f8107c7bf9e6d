"""The tables, as SQLAlchemy Core sees them. Their history is in `migrations/`.

`runs` is an index for lists: everything in it can be made again from `events`, which is the
ledger itself and is never updated. Times are ISO 8601 text in UTC, exactly as hashed. Tokens and
passwords are kept as hashes alone, secrets sealed. Every row of a person's leads to its user, so
that every query can be held to its owner.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

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
    # Whose it is and where it was asked; none of them where it was asked outside a conversation.
    Column("user_id", String, nullable=True),
    Column("conversation_id", String, nullable=True),
    Index("runs_by_status", "status"),
    Index("runs_by_user", "user_id", "id"),
    Index("runs_by_conversation", "conversation_id"),
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

RUN_ORDERS = Table(
    # What people tell a run while it goes on: steer, approve, deny, stop. Its driver takes each
    # once, in their order, and puts what came of it on the ledger.
    "run_orders",
    METADATA,
    Column("id", String, primary_key=True),
    Column("run_id", String, ForeignKey("runs.id"), nullable=False),
    Column("created_at", String, nullable=False),
    Column("user_id", String, nullable=True),
    Column("kind", String, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Column("taken_at", String, nullable=True),
    Index("run_orders_by_run", "run_id", "id"),
)

USERS = Table(
    "users",
    METADATA,
    Column("id", String, primary_key=True),
    Column("created_at", String, nullable=False),
    Column("email", String, nullable=True, unique=True),  # lower case
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),  # user, admin
    Column("password", String, nullable=True),  # argon2id; none where another provider logs in
    Column("disabled_at", String, nullable=True),
)

IDENTITIES = Table(
    # Who a user is at a provider of logins (OIDC `iss` and `sub`).
    "identities",
    METADATA,
    Column("issuer", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("created_at", String, nullable=False),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("token_hash", String, primary_key=True),  # SHA-256 in hex of 256 random bits
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("created_at", String, nullable=False),
    Column("used_at", String, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("address", String, nullable=False),
    Column("agent", String, nullable=False),
    Index("sessions_by_user", "user_id"),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", String, primary_key=True),
    Column("token_hash", String, nullable=False, unique=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("hint", String, nullable=False),  # its first characters, to tell it by
    Column("scopes", String, nullable=False),  # separated by spaces
    Column("created_at", String, nullable=False),
    Column("expires_at", String, nullable=True),
    Column("used_at", String, nullable=True),
    Column("revoked_at", String, nullable=True),
    Index("api_keys_by_user", "user_id"),
)

INVITES = Table(
    # One-time links to an account; the first one, printed in the terminal, makes the admin.
    "invites",
    METADATA,
    Column("id", String, primary_key=True),
    Column("token_hash", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("created_by", String, nullable=True),
    Column("created_at", String, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("used_by", String, nullable=True),
    Column("used_at", String, nullable=True),
)

ACCOUNT_EVENTS = Table(
    "account_events",
    METADATA,
    Column("id", String, primary_key=True),
    Column("created_at", String, nullable=False),
    Column("user_id", String, nullable=True),  # about whom
    Column("actor_id", String, nullable=True),  # by whom
    Column("kind", String, nullable=False),
    Column("address", String, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Index("account_events_by_user", "user_id", "id"),
)

CONVERSATIONS = Table(
    "conversations",
    METADATA,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("head_id", String, nullable=True),  # the last message of the branch in view
    Column("forked_from", String, nullable=True),  # another conversation
    Index("conversations_by_user", "user_id", "updated_at", "id"),
)

MESSAGES = Table(
    # A tree: whoever edits or asks again adds a sibling, and nothing is ever overwritten. An
    # assistant's message is its run's; the words of both are here for lists and search.
    "messages",
    METADATA,
    Column("id", String, primary_key=True),
    Column("conversation_id", String, ForeignKey("conversations.id"), nullable=False),
    Column("parent_id", String, nullable=True),
    Column("role", String, nullable=False),  # user, assistant
    Column("created_at", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("run_id", String, nullable=True),
    Index("messages_by_conversation", "conversation_id", "id"),
    Index("messages_by_run", "run_id"),
)

SHARES = Table(
    "shares",
    METADATA,
    Column("id", String, primary_key=True),
    Column("token_hash", String, nullable=False, unique=True),
    Column("conversation_id", String, ForeignKey("conversations.id"), nullable=False),
    Column("head_id", String, nullable=True),
    Column("created_at", String, nullable=False),
    Column("revoked_at", String, nullable=True),
    Index("shares_by_conversation", "conversation_id"),
)

FILES = Table(
    # What people gave and what runs made; the bytes are blobs. The same name again is a version.
    "files",
    METADATA,
    Column("id", String, primary_key=True),
    Column("user_id", String, ForeignKey("users.id"), nullable=False),
    Column("conversation_id", String, nullable=True),
    Column("run_id", String, nullable=True),
    Column("kind", String, nullable=False),  # upload, artifact
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", String, nullable=False),  # as its bytes say, not its name
    Column("created_at", String, nullable=False),
    Index("files_by_user", "user_id", "id"),
    Index("files_by_conversation", "conversation_id", "name", "version"),
    Index("files_by_digest", "sha256"),
)

PREFERENCES = Table(
    # `scope` is a user's id, or `server`.
    "preferences",
    METADATA,
    Column("scope", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    Column("updated_at", String, nullable=False),
)

SECRETS = Table(
    # Sealed: AES-256-GCM under a key of its own, which is wrapped by the master key `key_id`.
    "secrets",
    METADATA,
    Column("scope", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("key_id", String, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", String, nullable=False),
)

IDEMPOTENCY = Table(
    # What a request with this key was answered, so that sending it again changes nothing.
    "idempotency",
    METADATA,
    Column("user_id", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("request_hash", String, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("status", Integer, nullable=True),
    Column("body", Text, nullable=True),
    Column("created_at", String, nullable=False),
    Index("idempotency_by_age", "created_at"),
)

WORKERS = Table(
    # The processes that carry out runs, each with the time it was last heard of.
    "workers",
    METADATA,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("beat_at", String, nullable=False),
    Column("version", String, nullable=False),
)

SEARCH = Table(
    # What was said, to be found by its words; `forge.store.search` alone reads and writes it. On
    # SQLite the index is the FTS5 table `search_index`, which triggers keep.
    "search",
    METADATA,
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("conversation_id", String, nullable=False),
    Column("message_id", String, nullable=False),  # empty: the conversation's title
    Column("user_id", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("words", Text().with_variant(TSVECTOR(), "postgresql"), nullable=False),
    Index("search_by_message", "conversation_id", "message_id", unique=True),
    Index("search_by_user", "user_id", "number"),
    Index("search_by_words", "words", postgresql_using="gin").ddl_if(dialect="postgresql"),
)
