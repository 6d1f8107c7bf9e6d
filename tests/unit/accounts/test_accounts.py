"""Accounts: who is let in, who is recognised, and what an attacker is told."""

import asyncio
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from forge.accounts.audit import Origin
from forge.accounts.care import AccountCare
from forge.accounts.passwords import Passwords
from forge.accounts.principal import Principal
from forge.accounts.service import Accounts, Claims, NewUser
from forge.accounts.tokens import hash_of
from forge.accounts.users import Identity
from forge.errors import Conflict, InputRefused, LoginRefused, NotAllowed, NotFound, TooMany
from forge.store.database import Database
from forge.store.tables import ACCOUNT_EVENTS, API_KEYS, INVITES, SESSIONS, USERS
from forge.testing.clock import FakeClock

HERE = Origin("203.0.113.7", "a browser")
ADA = NewUser("Ada@Example.org", "Ada  Lovelace", "an engine of numbers")
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class House:
    """Accounts on a real database, with hands to turn."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock
        self.passwords = Passwords(QUICK)
        self.care = AccountCare(database, clock, self.passwords)

    def accounts(self, sign_up: str = "open") -> Accounts:
        return Accounts(self.database, self.clock, self.passwords, sign_up)

    async def who(self, token: str) -> Principal:
        found = await self.accounts().authenticate(token)
        assert found is not None
        return found

    async def admin(self) -> Principal:
        link = await self.accounts().first_admin_link()
        assert link is not None
        new = NewUser("root@example.org", "Root", "the first of them all")
        return await self.who(await self.accounts("closed").sign_up(new, HERE, link))


@pytest.fixture
def house(database: Database) -> House:
    return House(database, FakeClock())


async def test_who_signed_up_is_recognised_and_logs_in_again(house: House):
    """The address is compared in lower case; a session's token is nobody else's."""
    token = await house.accounts().sign_up(ADA, HERE)
    who = await house.who(token)
    assert (who.role, who.via) == ("user", "session")
    again = await house.accounts().log_in("ADA@example.ORG ", ADA.password, HERE)
    assert again != token
    assert (await house.who(again)).user_id == who.user_id
    user = await house.care.user(who.user_id)
    assert (user.email, user.name) == ("ada@example.org", "Ada Lovelace")


@pytest.mark.parametrize("sign_up", ["invite", "closed"])
async def test_nobody_signs_up_uninvited(house: House, sign_up: str):
    """Unless the server is open."""
    with pytest.raises(NotAllowed):
        await house.accounts(sign_up).sign_up(ADA, HERE)


async def test_the_first_link_makes_the_admin_once(house: House):
    """It ends with use, is replaced by a newer one, and there is none once anybody is there."""
    old = await house.accounts().first_admin_link()
    link = await house.accounts().first_admin_link()
    assert old
    assert link
    with pytest.raises(LoginRefused):
        await house.accounts("closed").sign_up(ADA, HERE, old)
    who = await house.who(await house.accounts("closed").sign_up(ADA, HERE, link))
    assert who.role == "admin"
    with pytest.raises((LoginRefused, NotAllowed)):
        await house.accounts("invite").sign_up(ADA._replace(email="b@example.org"), HERE, link)
    assert await house.accounts().first_admin_link() is None


async def test_an_invitation_ends_by_itself(house: House):
    """A week after it was made."""
    link = await house.care.invite(await house.admin(), "user", HERE)
    house.clock.advance(timedelta(days=7, seconds=1).total_seconds())
    with pytest.raises(LoginRefused):
        await house.accounts("invite").sign_up(ADA, HERE, link)


async def test_a_wrong_address_and_a_wrong_password_are_told_alike(house: House):
    """Whoever guesses learns nothing about which accounts there are."""
    await house.accounts().sign_up(ADA, HERE)
    said = set()
    for email, password in ((ADA.email, "wrong, long enough"), ("no@example.org", ADA.password)):
        with pytest.raises(LoginRefused) as refused:
            await house.accounts().log_in(email, password, HERE)
        said.add((refused.value.message, refused.value.hint))
    assert len(said) == 1


async def test_guessing_is_slowed_and_the_owner_is_not_locked_out(house: House):
    """Five wrong ones a minute per account; after the minute the right one is taken."""
    accounts = house.accounts()
    await accounts.sign_up(ADA, HERE)
    for _ in range(5):
        with pytest.raises(LoginRefused):
            await accounts.log_in(ADA.email, "wrong, long enough", HERE)
    with pytest.raises(TooMany) as slowed:
        await accounts.log_in(ADA.email, ADA.password, HERE)
    assert 1 <= slowed.value.retry_after_s <= 60
    other = Origin("203.0.113.8", "")
    with pytest.raises(TooMany):
        await accounts.log_in(ADA.email.upper(), ADA.password, other)


async def test_only_hashes_are_kept(house: House):
    """Neither a password nor a token is in any table."""
    token = await house.accounts().sign_up(ADA, HERE)
    who = await house.who(token)
    _, key = await house.care.make_key(who, "ci", ["run"], None, HERE)
    async with house.database.reading() as connection:
        kept = ""
        for table in (USERS, SESSIONS, API_KEYS, INVITES, ACCOUNT_EVENTS):
            kept += repr((await connection.execute(select(table))).all())
    for secret in (ADA.password, token, key):
        assert secret not in kept
    assert hash_of(token) in kept
    assert "$argon2id$" in kept


async def test_a_login_ends_with_age_and_without_use(house: House):
    """Fourteen days idle, ninety in any case."""
    token = await house.accounts().sign_up(ADA, HERE)
    for _ in range(8):
        house.clock.advance(timedelta(days=10).total_seconds())
        await house.who(token)
    house.clock.advance(timedelta(days=11).total_seconds())
    assert await house.accounts().authenticate(token) is None
    idle = await house.accounts().log_in(ADA.email, ADA.password, HERE)
    house.clock.advance(timedelta(days=15).total_seconds())
    assert await house.accounts().authenticate(idle) is None


async def test_a_changed_password_ends_every_other_login(house: House):
    """And the old one lets nobody in."""
    mine = await house.accounts().sign_up(ADA, HERE)
    other = await house.accounts().log_in(ADA.email, ADA.password, HERE)
    who, fresh = await house.who(mine), "another engine of numbers"
    with pytest.raises(LoginRefused):
        await house.care.change_password(who, "not this one", fresh, session=mine, origin=HERE)
    await house.care.change_password(who, ADA.password, fresh, session=mine, origin=HERE)
    assert await house.accounts().authenticate(mine) is not None
    assert await house.accounts().authenticate(other) is None
    with pytest.raises(LoginRefused):
        await house.accounts().log_in(ADA.email, ADA.password, HERE)
    assert await house.accounts().log_in(ADA.email, fresh, HERE)


async def test_logging_out_ends_one_login_and_everywhere_all(house: House):
    """A token is worth nothing afterwards."""
    tokens = [await house.accounts().sign_up(ADA, HERE)]
    tokens += [await house.accounts().log_in(ADA.email, ADA.password, HERE) for _ in range(2)]
    await house.accounts().log_out(tokens[0], HERE)
    assert await house.accounts().authenticate(tokens[0]) is None
    who = await house.who(tokens[1])
    assert len(await house.care.sessions(who)) == 2
    assert await house.care.log_out_everywhere(who, HERE) == 2
    assert [await house.accounts().authenticate(each) for each in tokens] == [None] * 3


async def test_a_key_does_what_its_scopes_say_until_it_ends(house: House):
    """It is its owner's alone, ends at its time, and counts no more once revoked."""
    admin = await house.admin()
    who = await house.who(await house.accounts().sign_up(ADA, HERE))
    ends = house.clock.now() + timedelta(days=1)
    key, text = await house.care.make_key(who, "ci", ["read", "run"], ends, HERE)
    by_key = await house.who(text)
    assert (by_key.user_id, by_key.via) == (who.user_id, "key")
    assert by_key.may("run")
    assert not by_key.may("write")
    assert (await house.care.keys(who))[0].used_at is not None
    house.clock.advance(timedelta(days=1).total_seconds())
    assert await house.accounts().authenticate(text) is None
    key, text = await house.care.make_key(who, "ci", ["run"], None, HERE)
    with pytest.raises(NotFound):
        await house.care.revoke_key(admin, key.id, HERE)
    await house.care.revoke_key(who, key.id, HERE)
    assert await house.accounts().authenticate(text) is None


async def test_a_key_cannot_be_given_more_than_its_maker_may(house: House):
    """A key that only runs cannot make one that reads; a user cannot make an admin's."""
    who = await house.who(await house.accounts().sign_up(ADA, HERE))
    with pytest.raises(NotAllowed):
        await house.care.make_key(who, "root", ["admin"], None, HERE)
    _, text = await house.care.make_key(who, "ci", ["run"], None, HERE)
    with pytest.raises(NotAllowed):
        await house.care.make_key(await house.who(text), "more", ["read"], None, HERE)
    with pytest.raises(InputRefused):
        await house.care.make_key(who, "none", [], None, HERE)


async def test_who_is_disabled_is_out_at_once(house: House):
    """Sessions end, keys do not count, and the password lets nobody in; enabling lets in again."""
    admin = await house.admin()
    token = await house.accounts().sign_up(ADA, HERE)
    who = await house.who(token)
    _, key = await house.care.make_key(who, "ci", ["run"], None, HERE)
    await house.care.disable(admin, who.user_id, HERE)
    assert await house.accounts().authenticate(token) is None
    assert await house.accounts().authenticate(key) is None
    with pytest.raises(LoginRefused):
        await house.accounts().log_in(ADA.email, ADA.password, HERE)
    with pytest.raises(Conflict):
        await house.care.disable(admin, admin.user_id, HERE)
    await house.care.enable(admin, who.user_id, HERE)
    assert await house.accounts().authenticate(key) is not None


async def test_only_an_admin_does_what_admins_do(house: House):
    """A user is refused, and so is an admin's key without that scope."""
    admin = await house.admin()
    who = await house.who(await house.accounts().sign_up(ADA, HERE))
    _, text = await house.care.make_key(admin, "ci", ["read", "write", "run"], None, HERE)
    for each in (who, await house.who(text)):
        for call in (
            house.care.invite(each, "admin", HERE),
            house.care.users(each, limit=10, after=None),
            house.care.disable(each, admin.user_id, HERE),
            house.care.enable(each, admin.user_id, HERE),
            house.care.events(each, limit=10, before=None),
        ):
            with pytest.raises(NotAllowed):
                await call
    kinds = [event.kind for event in await house.care.events(admin, limit=10, before=None)]
    assert sorted(kinds) == ["key_made", "signed_up", "signed_up"]
    assert len(await house.care.users(admin, limit=10, after=None)) == 2


async def test_another_providers_login_is_never_bound_to_an_account_by_its_address(house: House):
    """Whoever controls a provider could otherwise take any account over."""
    await house.accounts().sign_up(ADA, HERE)
    who = Identity("https://login.example", "42")
    with pytest.raises(Conflict):
        await house.accounts().log_in_as(who, Claims("Eve", "ada@example.org", True), HERE)
    with pytest.raises(NotAllowed):
        await house.accounts().log_in_as(who, Claims("Eve", "eve@example.org", False), HERE)
    eve = await house.who(
        await house.accounts().log_in_as(who, Claims("Eve", "eve@example.org", True), HERE)
    )
    again = await house.accounts().recognise(who, Claims("Eve", None, False), HERE)
    assert again.user_id == eve.user_id


async def test_many_first_requests_of_one_person_make_one_account(house: House):
    """A page asks for several things at once, with a token that is new here."""
    who, claims = Identity("https://login.example", "42"), Claims("Eve", None, may_join=True)
    accounts = house.accounts()
    async with asyncio.TaskGroup() as tasks:
        found = [tasks.create_task(accounts.recognise(who, claims, HERE)) for _ in range(8)]
        found_by_login = tasks.create_task(accounts.log_in_as(who, claims, HERE))
    ids = {each.result().user_id for each in found}
    ids.add((await house.who(found_by_login.result())).user_id)
    assert len(ids) == 1


async def test_the_user_of_this_computer_is_one_and_the_same(house: House):
    """However often the server starts."""
    first = await house.accounts().local_user()
    assert await house.accounts().local_user() == first
    assert first.may("admin")


@pytest.mark.parametrize(
    "new",
    [
        ADA._replace(email="not an address"),
        ADA._replace(email="a@b\x00"),
        ADA._replace(email="a" * 65 + "@example.org"),
        ADA._replace(name=" "),
        ADA._replace(name="a\u202eb"),
        ADA._replace(name="n" * 101),
        ADA._replace(password="short"),
        ADA._replace(password="x" * 1025),
    ],
)
async def test_what_cannot_be_kept_is_refused(house: House, new: NewUser):
    """With its reason, and nobody is made."""
    with pytest.raises(InputRefused):
        await house.accounts().sign_up(new, HERE)
    async with house.database.reading() as connection:
        assert (await connection.execute(select(USERS))).first() is None


@pytest.mark.parametrize(
    "token", ["", "fgs_", "fgs_" + "x" * 43, "fgk_" + "x" * 43, "x" * 10_000, "fgs_\ud800"]
)
async def test_what_is_no_token_is_nobody(house: House, token: str):
    """And is no error either."""
    assert await house.accounts().authenticate(token) is None
