"""Files by name and version, and what kind a file is whatever it is called."""

import pytest
from sqlalchemy import insert

from forge.errors import FileUnknown, PathRefused
from forge.ids import ConversationId, FileId, UserId
from forge.runs.conversations.files import Files, NewFile
from forge.runs.conversations.media import UNKNOWN, media_type
from forge.store.database import Database
from forge.store.tables import USERS
from forge.testing.clock import FakeClock

ADA, EVE = UserId("usr_ada"), UserId("usr_eve")
TALK = ConversationId("conv_1")


@pytest.fixture
async def files(database: Database) -> Files:
    async with database.writing() as connection:
        for user in (ADA, EVE):
            await connection.execute(
                insert(USERS).values(id=user, created_at="now", name=user, role="user")
            )
    return Files(database, FakeClock())


def given(name: str, digest: str = "a" * 64, talk: ConversationId | None = TALK) -> NewFile:
    return NewFile("upload", name, digest, 3, "text/plain", talk)


async def test_the_same_name_again_is_the_next_version(files: Files):
    """Per person and conversation; every version can be had."""
    first = await files.add(ADA, given("data.csv"))
    second = await files.add(ADA, given("data.csv", "b" * 64))
    other = await files.add(ADA, given("data.csv", talk=ConversationId("conv_2")))
    hers = await files.add(EVE, given("data.csv"))
    assert [each.version for each in (first, second, other, hers)] == [1, 2, 1, 1]
    assert (await files.get(ADA, first.id)).sha256 == "a" * 64
    assert [each.version for each in await files.newest(ADA, TALK)] == [2]


async def test_what_was_given_before_the_conversation_is_put_into_it(files: Files):
    """As the next version of its name; nobody else's, and nothing out of another conversation."""
    await files.add(ADA, given("data.csv"))
    early = await files.add(ADA, given("data.csv", "b" * 64, talk=None))
    hers = await files.add(EVE, given("data.csv", talk=None))
    there = await files.add(ADA, given("data.csv", talk=ConversationId("conv_2")))
    await files.place(ADA, (early.id, hers.id, there.id), TALK)
    placed = await files.get(ADA, early.id)
    assert (placed.conversation_id, placed.version) == (TALK, 2)
    assert (await files.get(EVE, hers.id)).conversation_id is None
    assert (await files.get(ADA, there.id)).conversation_id == "conv_2"


async def test_what_a_person_keeps_counts_each_content_once(files: Files):
    """Another version of the same bytes takes no room, and another's take none of one's own."""
    assert await files.used(ADA) == 0
    for digest in ("a", "a", "b"):
        await files.add(ADA, given("data.csv", digest * 64))
    await files.add(EVE, given("data.csv", "c" * 64))
    assert await files.used(ADA) == 6


async def test_another_persons_file_is_not_there(files: Files):
    """Nor in any list."""
    mine = await files.add(ADA, given("secret.txt"))
    for wanted in (mine.id, FileId("file_none")):
        with pytest.raises(FileUnknown):
            await files.get(EVE, wanted)
    assert (await files.list(EVE, limit=10))[0] == ()
    assert await files.newest(EVE, TALK) == ()


async def test_pages_show_each_file_once(files: Files):
    """The newest first."""
    made = {(await files.add(ADA, given(f"{number}.txt"))).id for number in range(5)}
    seen, cursor = [], None
    while True:
        page, cursor = await files.list(ADA, limit=2, cursor=cursor, conversation_id=TALK)
        seen += [each.id for each in page]
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\x00b", "x" * 256, "a\u202eb"])
async def test_an_upload_has_one_plain_name(files: Files, name: str):
    """It becomes a file's name in a machine and in a browser."""
    with pytest.raises(PathRefused):
        await files.add(ADA, given(name))


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "page.html", "image/png"),
        (b"GIF89a<script>", "x.svg", "image/gif"),
        (b"a,b\n1,2\n", "data.CSV", "text/csv"),
        (b"a,b\n1,2\n", "data", "text/plain"),
        (b"<svg onload=alert(1)>", "a.png", "text/plain"),
        (b"<svg onload=alert(1)>", "a.svg", "image/svg+xml"),
        (b"\x00\x01", "a.csv", UNKNOWN),
        (b"\xff\xfe", "a.txt", UNKNOWN),
        ("ü".encode() * 2047 + b"a" + "ü".encode()[:1], "a.txt", "text/plain"),
        (
            b"PK\x03\x04",
            "book.xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ),
        (b"PK\x03\x04", "book.txt", "application/zip"),
        (b"", "empty.json", "application/json"),
    ],
)
def test_a_file_is_what_its_bytes_say(head: bytes, name: str, kind: str):
    """Its name only decides among kinds of text."""
    assert media_type(head, name) == kind
