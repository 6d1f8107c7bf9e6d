"""`forge accounts` and `forge secrets`, as whole processes, and a server that believes them."""

import asyncio
import re
from pathlib import Path

import pytest

from forge.accounts.vault import Vault, keyring_in
from forge.clock import SystemClock
from forge.store.database import Database
from terminals import House, house_in


@pytest.fixture
def house(tmp_path: Path) -> House:
    return house_in(tmp_path)


def test_an_invitation_is_printed_once_and_people_are_listed(house: House):
    """The link is on standard output alone, so that it can be piped; nobody else is there yet."""
    made = house.forge("accounts", "invite", "--admin")
    assert re.fullmatch(r"http://localhost:3000/invite#fgi_[\w-]{43}\n", made.out)
    assert "fgi_" not in made.err
    assert "admin" in house.forge("accounts", "list").out
    house.forge("accounts", "disable", "nobody@example.org", code=2)


def test_secrets_open_with_the_new_key_and_the_old_one_is_not_needed(house: House):
    """What was sealed before is wrapped anew."""
    house.home.mkdir(mode=0o700)

    async def secret(*, put: str = "") -> str | None:
        async with Database.open(house.home / "forge.db") as database:
            vault = Vault(database, SystemClock(), keyring_in(house.home / "master.keys"))
            if put:
                await vault.put("server", "model", put)
            return await vault.get("server", "model")

    asyncio.run(secret(put="a key"))
    assert "wrapped anew: 1" in house.forge("secrets", "rotate").out
    keys = house.home / "master.keys"
    keys.write_text(keys.read_text().splitlines()[0] + "\n")
    assert asyncio.run(secret()) == "a key"
