"""Identifiers: short, sortable by the time of making, and each of its own type.

An id is a prefix, an underscore, and 26 characters of Crockford base 32: 48 bits of milliseconds
since 1970, then 80 random bits from the operating system (the ULID layout,
https://github.com/ulid/spec).
"""

import re
import secrets
from datetime import datetime
from typing import NewType

RunId = NewType("RunId", str)
SandboxId = NewType("SandboxId", str)
UserId = NewType("UserId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
FileId = NewType("FileId", str)

_SANDBOX_ID = re.compile(r"sbx_[0-9a-hjkmnp-tv-z]{26}")
_ID = r"_[0-9a-hjkmnp-tv-z]{26}"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _ulid(now: datetime) -> str:
    number = (int(now.timestamp() * 1000) << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_run_id(now: datetime) -> RunId:
    """A fresh run id, `run_…`."""
    return RunId(f"run_{_ulid(now)}")


def new_sandbox_id(now: datetime) -> SandboxId:
    """A fresh sandbox id, `sbx_…`."""
    return SandboxId(f"sbx_{_ulid(now)}")


def new_user_id(now: datetime) -> UserId:
    """A fresh user id, `usr_…`."""
    return UserId(f"usr_{_ulid(now)}")


def new_conversation_id(now: datetime) -> ConversationId:
    """A fresh conversation id, `conv_…`."""
    return ConversationId(f"conv_{_ulid(now)}")


def new_message_id(now: datetime) -> MessageId:
    """A fresh message id, `msg_…`."""
    return MessageId(f"msg_{_ulid(now)}")


def new_file_id(now: datetime) -> FileId:
    """A fresh id of an upload or artifact, `file_…`."""
    return FileId(f"file_{_ulid(now)}")


def new_id(prefix: str, now: datetime) -> str:
    """A fresh id of what no other room passes around: a key, a link, an order."""
    return f"{prefix}_{_ulid(now)}"


def is_sandbox_id(text: str) -> bool:
    """Whether a text has the form of a sandbox id, and so is safe as a file's name."""
    return _SANDBOX_ID.fullmatch(text) is not None


def is_id(text: str, prefix: str) -> bool:
    """Whether a text has the form of an id with this prefix, and so is safe as a file's name."""
    return re.fullmatch(re.escape(prefix) + _ID, text) is not None
