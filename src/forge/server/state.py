"""What routes are given: the rooms that were opened for them, by their types."""

from dataclasses import dataclass

from fastapi import Depends
from starlette.requests import HTTPConnection

from forge.accounts.care import AccountCare
from forge.accounts.preferences import Preferences, PreferenceStore
from forge.accounts.receipts import Receipts
from forge.accounts.service import Accounts
from forge.accounts.vault import Vault
from forge.hosting import Hosted, Logins
from forge.ids import ConversationId, UserId
from forge.runs.artifacts import Blobs
from forge.runs.conversations.files import Files
from forge.runs.conversations.shares import Shares
from forge.runs.conversations.store import Conversations
from forge.runs.machines import ConversationMachines
from forge.runs.service import RunService
from forge.sandbox.base import Sandbox, SandboxProvider, SandboxSpec
from forge.server.allowance import Allowance
from forge.server.auth import Doorkeeper
from forge.server.config import ServerConfig
from forge.server.doors import Cookie
from forge.server.measures import Measures
from forge.server.signing import Signer
from forge.wiring import Forge


@dataclass(frozen=True, slots=True)
class State:
    """Everything behind the routes. Each has its own owner; the app closes none of it."""

    hosted: Hosted
    config: ServerConfig
    measures: Measures
    doorkeeper: Doorkeeper
    allowance: Allowance
    cookie: Cookie
    signer: Signer

    @property
    def forge(self) -> Forge:
        """What runs and machines are made with."""
        return self.hosted.forge

    @property
    def runs(self) -> RunService:
        """Runs."""
        return self.forge.service

    @property
    def blobs(self) -> Blobs:
        """The bytes of files."""
        return self.forge.blobs

    @property
    def machines(self) -> ConversationMachines:
        """The machines of conversations."""
        return self.forge.talks

    @property
    def provider(self) -> SandboxProvider:
        """Where machines come from."""
        return self.forge.machines.provider

    async def spec(self, template: str = "") -> SandboxSpec:
        """The machine of a template, with its own sizes; of the usual one for none.

        Raises:
            NameUnknown, ImageMissing: there is no such template.
        """
        return await self.forge.machines.spec(template)

    @property
    def accounts(self) -> Accounts:
        """Coming in and being recognised."""
        return self.hosted.accounts

    @property
    def logins(self) -> Logins:
        """Other providers by which people are recognised."""
        return self.hosted.logins

    @property
    def care(self) -> AccountCare:
        """Changes to accounts."""
        return self.hosted.care

    @property
    def conversations(self) -> Conversations:
        """Conversations."""
        return self.hosted.conversations

    @property
    def shares(self) -> Shares:
        """Links to conversations."""
        return self.hosted.shares

    @property
    def files(self) -> Files:
        """What was given and made."""
        return self.hosted.files

    @property
    def preferences(self) -> PreferenceStore:
        """What people and the server prefer."""
        return self.hosted.preferences

    @property
    def receipts(self) -> Receipts:
        """What requests were answered."""
        return self.hosted.receipts

    @property
    def vault(self) -> Vault:
        """Secrets."""
        return self.hosted.vault


def state_in(connection: HTTPConnection) -> State:
    """The state of the app that serves a request."""
    found = connection.app.state.forge
    assert isinstance(found, State)
    return found


state_of = Depends(state_in)
"""A dependency: the state of the app that serves the request."""


async def preferred_of(state: State, user_id: UserId) -> Preferences:
    """What counts for one, before machines or runs are made in their name.

    Raises:
        PreferenceUnmet: they want machines made where this server makes none.
    """
    preferred = await state.preferences.of(user_id)
    preferred.check_provider(state.provider.name)
    return preferred


async def machine_of(state: State, user_id: UserId, conversation_id: ConversationId) -> Sandbox:
    """The machine of one's conversation, made where there is none.

    Raises:
        ConversationNotFound: there is no such conversation, or it is another's.
        ForgeError: as in `forge.runs.machines.ConversationMachines.get` and `preferred_of`.
    """
    await state.conversations.get(user_id, conversation_id)
    await preferred_of(state, user_id)
    return await state.machines.get(conversation_id, await state.spec())
