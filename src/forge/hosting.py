"""What a server needs beside runs and machines: people, conversations, files, secrets.

The part of `wiring` that only a server opens.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from forge.accounts.care import AccountCare
from forge.accounts.flows import OidcClient
from forge.accounts.passwords import Passwords
from forge.accounts.preferences import PreferenceStore
from forge.accounts.receipts import Receipts
from forge.accounts.service import Accounts, SignUp
from forge.accounts.vault import Keyring, Vault, keyring_in, keyring_of
from forge.clock import Clock, SystemClock
from forge.errors import SettingsInvalid
from forge.keeping import kept_tidy
from forge.runs.conversations.clerk import Clerk, open_clerk
from forge.runs.conversations.files import Files
from forge.runs.conversations.shares import Shares
from forge.runs.conversations.store import Conversations
from forge.settings import Settings
from forge.wiring import Forge

if TYPE_CHECKING:
    from forge.accounts.oidc import OidcLogin
    from forge.accounts.supabase import SupabaseTokens


CALLBACK = "/api/auth/oidc/callback"
"""Where another provider's login sends a browser back to."""


@dataclass(frozen=True, slots=True)
class Logins:
    """Other providers by which people are recognised."""

    oidc: "OidcLogin | None" = None
    supabase: "SupabaseTokens | None" = None


@dataclass(frozen=True, slots=True)
class Hosted:
    """Everything that the server serves. `master` is the key that addresses are signed with."""

    forge: Forge
    clock: Clock
    accounts: Accounts
    care: AccountCare
    preferences: PreferenceStore
    vault: Vault
    receipts: Receipts
    conversations: Conversations
    shares: Shares
    files: Files
    clerk: Clerk
    master: bytes
    logins: Logins


@asynccontextmanager
async def open_hosted(forge: Forge, sign_up: SignUp, url: str) -> AsyncIterator[Hosted]:
    """Everything around what was opened, until the block is left. `url` is where people reach the
    server, and so where another provider's login sends them back to.

    Raises:
        InputRefused, SecretUnreadable: the master key cannot be used.
        SettingsInvalid: the settings of another provider's logins cannot be used.
    """
    clock, database = SystemClock(), forge.database
    passwords, keyring = Passwords(), keyring_for(forge.settings)
    conversations, files = Conversations(database, clock), Files(database, clock)
    master = keyring.keys[keyring.current]
    async with (
        kept_tidy(forge.blobs, clock),
        open_clerk(forge.service, conversations, files, forge.blobs) as clerk,
        open_logins(forge.settings, url, clock, master, may_join=sign_up == "open") as logins,
    ):
        yield Hosted(
            forge=forge,
            clock=clock,
            accounts=Accounts(database, clock, passwords, sign_up),
            care=AccountCare(database, clock, passwords),
            preferences=PreferenceStore(database, clock),
            vault=Vault(database, clock, keyring),
            receipts=Receipts(database, clock, keyring.keys[keyring.current]),
            conversations=conversations,
            shares=Shares(database, clock, conversations),
            files=files,
            clerk=clerk,
            master=master,
            logins=logins,
        )


@asynccontextmanager
async def open_logins(
    settings: Settings, url: str, clock: Clock, master: bytes, *, may_join: bool
) -> AsyncIterator[Logins]:
    """The other providers that the settings name, until the block is left.

    Raises:
        SettingsInvalid: they cannot be used.
    """
    if not settings.logins_elsewhere:
        yield Logins()
        return
    client = _client(settings, url)
    try:
        # Half a second and 20 MiB that most servers never need.
        from forge.accounts.fetching import open_fetcher
        from forge.accounts.oidc import OidcLogin
        from forge.accounts.supabase import SupabaseTokens
    except ImportError as error:
        raise SettingsInvalid(
            "Logins at another provider are set, and Forge is not installed with its extra `oidc`.",
            hint="Install it with `uv sync --extra oidc`, or `pip install 'forge-microvm[oidc]'`.",
        ) from error
    secret = settings.supabase_jwt_secret.get_secret_value()
    async with open_fetcher() as fetcher:
        yield Logins(
            oidc=OidcLogin(client, fetcher, clock, master, may_join=may_join) if client else None,
            supabase=SupabaseTokens(
                settings.supabase_url, secret, fetcher, clock, may_join=may_join
            )
            if settings.supabase_url
            else None,
        )


def _client(settings: Settings, url: str) -> OidcClient | None:
    if not settings.oidc_issuer:
        return None
    if not settings.oidc_client_id:
        raise SettingsInvalid(
            "FORGE_OIDC_ISSUER is set, and FORGE_OIDC_CLIENT_ID is not.",
            hint="The provider gives one when you register this server there, with the redirect "
            f"address {url}{CALLBACK}.",
        )
    return OidcClient(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        secret=settings.oidc_client_secret.get_secret_value(),
        name=settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or "",
        redirect_uri=f"{url}{CALLBACK}",
    )


def keyring_for(settings: Settings) -> Keyring:
    """The master keys: the setting's, or those of a file in the home folder.

    Raises:
        InputRefused, SecretUnreadable: they cannot be used.
    """
    given = settings.secret_key.get_secret_value()
    return keyring_of(given) if given else keyring_in(settings.home / "master.keys")
