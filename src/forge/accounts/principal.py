"""Who asks: what every room above is told of the person or program behind a request."""

from dataclasses import dataclass, field
from typing import Literal

from forge.ids import UserId

Role = Literal["user", "admin"]
Scope = Literal["read", "write", "run", "admin"]
"""What a key may do: look; change what is its owner's; start runs and use machines; everything."""

Via = Literal["local", "session", "key", "token"]
"""How the person was recognised: as the only user of this computer, by a login, by an API key, or
by another provider's signed token."""

EVERYTHING: frozenset[Scope] = frozenset({"read", "write", "run", "admin"})


@dataclass(frozen=True, slots=True)
class Principal:
    """A user, and what this request may do in the user's name."""

    user_id: UserId
    role: Role
    via: Via
    scopes: frozenset[Scope] = field(default=EVERYTHING)

    def may(self, scope: Scope) -> bool:
        """Whether the request may do what this scope names; `admin` also wants the role."""
        return scope in self.scopes and (scope != "admin" or self.role == "admin")
