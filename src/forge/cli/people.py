"""`forge accounts` and `forge secrets`: for whoever may read this FORGE_HOME, server or not.

They go to the database itself, so an admin who cannot log in any more gets in again: whoever has
the database has everything anyway.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from forge.accounts.audit import Origin
from forge.accounts.care import AccountCare
from forge.accounts.passwords import Passwords
from forge.accounts.principal import Principal, Role
from forge.accounts.service import Accounts
from forge.accounts.users import User
from forge.accounts.vault import Vault, keyring_in
from forge.cli.exits import Exit
from forge.cli.harmless import one_line
from forge.cli.render import Screen
from forge.cli.serve import config_of
from forge.clock import SystemClock
from forge.errors import NotFound
from forge.hosting import keyring_for
from forge.keeping import make_home, open_database
from forge.settings import Settings

HERE = Origin("this computer", "forge accounts")
MOST = 1_000


@asynccontextmanager
async def _care(settings: Settings) -> AsyncIterator[tuple[AccountCare, Principal]]:
    make_home(settings.home)
    async with open_database(settings) as database:
        clock, passwords = SystemClock(), Passwords()
        accounts = Accounts(database, clock, passwords, settings.sign_up)
        yield AccountCare(database, clock, passwords), await accounts.local_user()


async def invite(settings: Settings, screen: Screen, role: Role) -> Exit:
    """Make a one-time link to an account, and print it."""
    async with _care(settings) as (care, who):
        token = await care.invite(who, role, HERE)
    screen.line(f"{config_of(settings).url}/invite#{token}")
    return Exit.DONE


async def list_accounts(settings: Settings, screen: Screen) -> Exit:
    """Everybody with an account."""
    async with _care(settings) as (care, who):
        users = await care.users(who, limit=MOST, after=None)
    for user in users:
        words = [user.id, user.role, user.email or "-", user.name]
        screen.line("  ".join(map(one_line, [*words, *(["disabled"] if user.disabled else [])])))
    return Exit.DONE


async def let_in(settings: Settings, screen: Screen, account: str, *, in_: bool) -> Exit:
    """Let somebody in no more, with every login and key, or again."""
    async with _care(settings) as (care, who):
        user = await _find(care, who, account)
        if in_:
            await care.enable(who, user.id, HERE)
        else:
            await care.disable(who, user.id, HERE)
    screen.line(f"{one_line(account)} is {'let in again' if in_ else 'let in no more'}.")
    return Exit.DONE


async def rotate(settings: Settings, screen: Screen) -> Exit:
    """Seal every secret with a new master key, or with the first of FORGE_SECRET_KEY."""
    make_home(settings.home)
    keyring = keyring_for(settings)
    if not settings.secret_key.get_secret_value():
        keyring = keyring_in(settings.home / "master.keys", new=True)
    async with open_database(settings) as database:
        count = await Vault(database, SystemClock(), keyring).rewrap()
    screen.line(f"The master key {keyring.current} seals now; secrets wrapped anew: {count}.")
    screen.notice("Restart a server that runs: it does not know the new key.")
    return Exit.DONE


async def _find(care: AccountCare, who: Principal, account: str) -> User:
    wanted = account.strip().lower()
    for user in await care.users(who, limit=MOST, after=None):
        if wanted in (user.id, user.email):
            return user
    raise NotFound(
        f"There is no account {account[:80]!r}.", hint="`forge accounts list` shows them."
    )
