"""What people and the server prefer: typed values, each with a default.

A user's own go before the server's, and those before what is built in. Values that this version
does not know, or that no longer fit, count as not set: an older database never keeps a server from
starting.
"""

import json
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import delete, insert, select

from forge.clock import Clock, stamp
from forge.errors import PreferenceUnmet
from forge.events import Caps
from forge.ids import UserId
from forge.store.database import Database
from forge.store.tables import PREFERENCES

SERVER = "server"


class Preferences(BaseModel):
    """Everything that can be preferred; None is for whoever is asked next to say.

    `provider_mode`: `auto` takes whichever machines the server makes; `local` wants them on the
    server's own computer, `remote` elsewhere, and where the server makes none there, it is refused.
    `strict` is `local`, and never anything else, whatever will be there to fall back on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider_mode: Literal["auto", "local", "remote", "strict"] | None = None
    model: str | None = Field(None, max_length=200)
    small_model: str | None = Field(None, max_length=200)
    template: str | None = Field(None, max_length=100)
    plan: str | None = Field(None, max_length=100)
    max_usd: Decimal | None = Field(None, ge=0, le=1_000_000)
    max_iterations: int | None = Field(None, ge=0, le=1_000)
    egress: Literal["none", "allowlist"] | None = None
    egress_allow: tuple[str, ...] | None = Field(None, max_length=200)
    approve: tuple[str, ...] | None = Field(None, max_length=50)

    def over(self, below: "Preferences") -> "Preferences":
        """These, and `below` where these say nothing."""
        return below.model_copy(update=self.model_dump(exclude_none=True))

    def caps(self, usual: Caps) -> Caps:
        """The limits of a run that names none: the usual ones, with what is preferred in place."""
        preferred = {"iterations": self.max_iterations, "usd": self.max_usd}
        named = {name: value for name, value in preferred.items() if value is not None}
        return usual.model_copy(update=named)

    def check_kept(self) -> None:
        """Refuse what this version would keep and then not do.

        Raises:
            PreferenceUnmet: a network for machines, or a plan, neither of which there is.
        """
        if self.egress == "allowlist" or self.egress_allow:
            raise PreferenceUnmet(
                "`egress` can only be `none`, without hosts in `egress_allow`: no machine of this "
                "server reaches a network.",
                hint="Leave both out; upload what the code needs, or put it into a template.",
            )
        if self.plan:
            raise PreferenceUnmet(
                "There are no plans on this server yet, so `plan` cannot be set.",
                hint="Limit each run with `max_usd` and `max_iterations`.",
            )

    def check_provider(self, name: str) -> None:
        """Refuse to make machines with this provider where it is not where they are wanted.

        Raises:
            PreferenceUnmet: the server makes them elsewhere.
        """
        mode, found = self.provider_mode or "auto", place_of(name)
        if mode == "auto" or ("local" if mode == "strict" else mode) == found:
            return
        wanted = "elsewhere than on" if found == "local" else "on"
        raise PreferenceUnmet(
            f"Your setting `provider_mode` is `{mode}`, which wants machines {wanted} this "
            f"server's own computer; the server makes all of them with {name!r}, which is {found}."
        )


def place_of(provider: str) -> Literal["local", "remote"]:
    """Where a provider's machines are: a worker's are another computer's."""
    return "remote" if provider == "worker" else "local"


class PreferenceStore:
    """Keeps preferences by scope: a user's id, or `server`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def read(self, scope: str) -> Preferences:
        """What this scope itself says."""
        query = select(PREFERENCES.c.name, PREFERENCES.c.value).where(PREFERENCES.c.scope == scope)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        kept = Preferences()
        for name, value in rows:
            try:
                one = Preferences.model_validate({name: json.loads(value)})
            except (ValidationError, ValueError):
                continue
            kept = one.over(kept)
        return kept

    async def of(self, user_id: UserId) -> Preferences:
        """What counts for a user: the user's own over the server's."""
        return (await self.read(user_id)).over(await self.read(SERVER))

    async def change(self, scope: str, wanted: Preferences) -> Preferences:
        """Set what was named in `wanted`, one that was named as None is unset; returns what this
        scope says now.
        """
        values = wanted.model_dump(mode="json", exclude_unset=True)
        now = stamp(self._clock.now())
        async with self._database.writing() as connection:
            for name, value in values.items():
                await connection.execute(
                    delete(PREFERENCES).where(
                        PREFERENCES.c.scope == scope, PREFERENCES.c.name == name
                    )
                )
                if value is not None:
                    await connection.execute(
                        insert(PREFERENCES).values(
                            scope=scope, name=name, value=json.dumps(value), updated_at=now
                        )
                    )
        return await self.read(scope)
