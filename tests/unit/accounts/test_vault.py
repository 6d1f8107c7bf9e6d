"""Secrets at rest: what a thief of the database has, and what a writer of it can do."""

import base64
import os
from pathlib import Path

import pytest
from sqlalchemy import select, update

from forge.accounts.vault import Keyring, Vault, keyring_in, keyring_of
from forge.errors import InputRefused, SecretUnreadable
from forge.store.database import Database
from forge.store.tables import SECRETS
from forge.testing.clock import FakeClock

KEY = "sk-ant-not-a-real-key"


def a_keyring(*more: Keyring) -> Keyring:
    fresh = base64.b64encode(os.urandom(32)).decode()
    old = [base64.b64encode(key).decode() for ring in more for key in ring.keys.values()]
    return keyring_of(",".join([fresh, *old]))


async def test_a_secret_comes_back_and_its_text_is_nowhere(database: Database):
    """Neither in the database nor in what a keyring prints."""
    ring = a_keyring()
    vault = Vault(database, FakeClock(), ring)
    await vault.put("usr_1", "anthropic", KEY)
    assert await vault.get("usr_1", "anthropic") == KEY
    assert await vault.get("usr_2", "anthropic") is None
    assert await vault.names("usr_1") == ("anthropic",)
    async with database.reading() as connection:
        row = (await connection.execute(select(SECRETS))).one()
    kept = bytes(row.wrapped) + bytes(row.sealed) + repr(row).encode()
    assert KEY.encode() not in kept
    assert all(key not in kept for key in ring.keys.values())
    assert repr(next(iter(ring.keys.values()))) not in repr(ring)
    await vault.remove("usr_1", "anthropic")
    assert await vault.get("usr_1", "anthropic") is None


@pytest.mark.parametrize("change", [{"scope": "usr_2"}, {"name": "openai"}])
async def test_a_row_moved_to_another_owner_or_name_does_not_open(database: Database, change):
    """Whoever may write the table cannot use another's key."""
    vault = Vault(database, FakeClock(), a_keyring())
    await vault.put("usr_1", "anthropic", KEY)
    async with database.writing() as connection:
        await connection.execute(update(SECRETS).values(**change))
    with pytest.raises(SecretUnreadable):
        await vault.get(change.get("scope", "usr_1"), change.get("name", "anthropic"))


@pytest.mark.parametrize("column", ["wrapped", "sealed"])
@pytest.mark.parametrize("byte", [0, 20, -1])
async def test_a_changed_bit_is_noticed(database: Database, column: str, byte: int):
    """In the nonce, the text or the tag."""
    vault = Vault(database, FakeClock(), a_keyring())
    await vault.put("usr_1", "anthropic", KEY)
    async with database.writing() as connection:
        value = bytearray((await connection.execute(select(SECRETS.c[column]))).scalar_one())
        value[byte] ^= 1
        await connection.execute(update(SECRETS).values({column: bytes(value)}))
    with pytest.raises(SecretUnreadable):
        await vault.get("usr_1", "anthropic")


async def test_a_new_master_key_takes_over_and_the_old_one_can_go(database: Database):
    """Rewrapping needs the old key once; without it nothing is changed."""
    old = a_keyring()
    await Vault(database, FakeClock(), old).put("usr_1", "anthropic", KEY)
    stranger = Vault(database, FakeClock(), a_keyring())
    with pytest.raises(SecretUnreadable):
        await stranger.get("usr_1", "anthropic")
    with pytest.raises(SecretUnreadable):
        await stranger.rewrap()
    both = a_keyring(old)
    vault = Vault(database, FakeClock(), both)
    assert await vault.get("usr_1", "anthropic") == KEY
    assert await vault.rewrap() == 1
    assert await vault.rewrap() == 0
    alone = Keyring(both.current, {both.current: both.keys[both.current]})
    assert await Vault(database, FakeClock(), alone).get("usr_1", "anthropic") == KEY


def test_the_file_of_master_keys_is_its_owners_alone(tmp_path: Path):
    """Made so, kept so, and refused otherwise; a new key goes before the old ones."""
    path = tmp_path / "master.keys"
    first = keyring_in(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert keyring_in(path) == first
    second = keyring_in(path, new=True)
    assert second.current != first.current
    assert first.current in second.keys
    path.chmod(0o640)
    with pytest.raises(SecretUnreadable):
        keyring_in(path)


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(b"x" * 31).decode(), "é" * 44])
def test_what_is_no_key_is_refused_without_being_repeated(text: str):
    """A mistyped key may be most of the right one."""
    with pytest.raises(InputRefused) as refused:
        keyring_of(text)
    assert not text or text not in refused.value.message
