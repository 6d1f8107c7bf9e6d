"""What a server needs beside runs and machines: people, conversations, files, secrets.

The part of `wiring` that only a server opens.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from forge.accounts.care import AccountCare
from forge.accounts.passwords import Passwords
from forge.accounts.preferences import PreferenceStore
from forge.accounts.receipts import Receipts
from forge.accounts.service import Accounts, SignUp
from forge.accounts.vault import Keyring, Vault, keyring_in, keyring_of
from forge.clock import Clock, SystemClock
from forge.runs.conversations.clerk import Clerk, open_clerk
from forge.runs.conversations.files import Files
from forge.runs.conversations.shares import Shares
from forge.runs.conversations.store import Conversations
from forge.settings import Settings
from forge.wiring import Forge


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


@asynccontextmanager
async def open_hosted(forge: Forge, sign_up: SignUp) -> AsyncIterator[Hosted]:
    """Everything around what was opened, until the block is left.

    Raises:
        InputRefused, SecretUnreadable: the master key cannot be used.
    """
    clock, database = SystemClock(), forge.database
    passwords, keyring = Passwords(), keyring_for(forge.settings)
    conversations, files = Conversations(database, clock), Files(database, clock)
    async with open_clerk(forge.service, conversations, files, forge.blobs) as clerk:
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
            master=keyring.keys[keyring.current],
        )


def keyring_for(settings: Settings) -> Keyring:
    """The master keys: the setting's, or those of a file in the home folder.

    Raises:
        InputRefused, SecretUnreadable: they cannot be used.
    """
    given = settings.secret_key.get_secret_value()
    return keyring_of(given) if given else keyring_in(settings.home / "master.keys")
