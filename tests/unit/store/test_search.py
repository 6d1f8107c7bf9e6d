"""What was said is found, by its owner alone, whatever is typed; on both databases alike."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge.store import search
from forge.store.database import Database
from forge.store.search import TITLE, FoundPage
from forge.store.words import query_of, words_of

ANN, BOB = "usr_01ann", "usr_01bob"


async def say(database: Database, user: str, conversation: str, **messages: str) -> None:
    async with database.writing() as connection:
        for message_id, said in messages.items():
            await search.add(
                connection,
                user_id=user,
                conversation_id=conversation,
                message_id=message_id if message_id != "title" else TITLE,
                said=said,
            )


async def find(database: Database, query: str, user: str = ANN, **page: int) -> FoundPage:
    async with database.reading() as connection:
        return await search.search(connection, user, query, **page)


async def ids(database: Database, query: str, user: str = ANN) -> list[str]:
    return [found.conversation_id for found in (await find(database, query, user)).found]


@pytest.mark.parametrize(
    ("said", "query"),
    [
        ("The Quick brown fox", "quick FOX"),
        ("Ein Café in Zürich", "cafe zurich"),
        ("Ein Cafe in Zurich", "Café, Zürich!"),
        ("plot foo_bar(3.14) at example.com/x-y", "foo bar 3.14 example.com"),
        ("plot foo_bar", "foo_bar"),
        ("我想画一张图", "画图"),
        ("histogram", "hist"),
        ("Привет, мир", "привет"),
        ("it's NOT here", "not here"),
        ("a NEAR b AND c OR d", "NEAR AND OR"),
        ("x" * 500, "x" * 300 + " "),
    ],
)
async def test_words_are_found_without_their_case_accents_and_punctuation(
    database: Database, said: str, query: str
):
    """Both databases agree on what a word is, operators' names and unfinished words included."""
    await say(database, ANN, "conv_1", msg_1=said)
    await say(database, ANN, "conv_2", msg_2="something else")
    assert await ids(database, query) == ["conv_1"]


@pytest.mark.parametrize(
    ("said", "query"),
    [
        ("quick brown", "quick red"),
        ("histogram", "hist "),
        ("histogram", "hi"),
        ("quick", "qu*"),
        ("apple", "apple OR pear"),
    ],
)
async def test_every_word_must_be_there(database: Database, said: str, query: str):
    """A word that was not said finds nothing, however the query is written."""
    await say(database, ANN, "conv_1", msg_1=said)
    assert await ids(database, query) == []


async def test_nobody_finds_what_another_said(database: Database):
    """Also not one who writes the other's id as a word, on either side."""
    await say(database, ANN, "conv_ann", msg_1=f"secret {BOB} usr01bob")
    await say(database, BOB, "conv_bob", msg_2="secret")
    assert await ids(database, "secret", ANN) == ["conv_ann"]
    assert await ids(database, "secret", BOB) == ["conv_bob"]
    assert await ids(database, "secret usr_01ann", BOB) == []
    assert await ids(database, "secret", "usr_01") == []
    assert await ids(database, "secret", "") == []


async def test_what_says_it_most_comes_first_and_a_conversation_once(database: Database):
    """Ranked by how much of a message the words are; the best message of each is shown."""
    await say(database, ANN, "conv_1", msg_1="tea " + "and other things " * 30)
    await say(database, ANN, "conv_2", msg_2="tea tea tea", msg_3="tea " + "with milk " * 40)
    page = await find(database, "tea")
    assert [found.conversation_id for found in page.found] == ["conv_2", "conv_1"]
    assert page.found[0].message_id == "msg_2"


async def test_pages_follow_each_other_without_gap_or_repetition(database: Database):
    """`after` of a page gives the next, and is None at the end."""
    for number in range(7):
        await say(database, ANN, f"conv_{number}", msg="word")
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await find(database, "word", limit=3, after=after)
        seen += [found.conversation_id for found in page.found]
        after = page.after
    assert sorted(seen) == [f"conv_{number}" for number in range(7)]


async def test_what_is_said_again_replaces_and_what_is_removed_is_gone(database: Database):
    """A renamed title is found by its new words only; a removed conversation by none."""
    await say(database, ANN, "conv_1", title="apples", msg_1="pears")
    await say(database, ANN, "conv_1", title="cherries")
    assert await ids(database, "apples") == []
    assert await ids(database, "cherries") == await ids(database, "pears") == ["conv_1"]
    async with database.writing() as connection:
        await search.remove_conversation(connection, "conv_1")
    assert await ids(database, "cherries") == await ids(database, "pears") == []


async def test_a_snippet_shows_the_words_where_they_are(database: Database):
    """Its marks lie on the words as they were written, on one line of bounded length."""
    said = "x " * 300 + "then\nthe CAFÉS opened, and cafe closed " + "y " * 300
    await say(database, ANN, "conv_1", msg_1=said)
    (found,) = (await find(database, "cafe")).found
    piece, marks = found.snippet
    assert [piece[start:end] for start, end in marks] == ["CAFÉS", "cafe"]
    assert len(piece) <= 160
    assert "\n" not in piece


@pytest.mark.parametrize(
    "query",
    [
        "", " ", "\0", '"', "'", "''';--", '" OR "1"="1', "* ^ - + ~ : ( ) { }", "words:x", "NEAR(",
        "a" * 100_000, "b " * 50_000, "\ud800", "%_\\", "!!&|<->", "😀", "\u202e", "x:*",
        "'a' <-> 'b':*A",
    ],
)  # fmt: skip
async def test_whatever_is_typed_is_only_words(database: Database, query: str):
    """No query is an error, or finds what it does not say."""
    await say(database, ANN, "conv_1", msg_1="Nothing of that.")
    assert await ids(database, query) == []


async def test_whatever_was_said_can_be_kept(database: Database):
    """NUL, a lone word of megabytes, and a hundred thousand different words, are found after."""
    await say(
        database, ANN, "conv_1",
        msg_1="nul\0byte", msg_2="first " + "z" * 3_000_000,
        msg_3=" ".join(f"w{number}" for number in range(100_000)), msg_4="it's \\ \" ':1A",
    )  # fmt: skip
    for query in ("nul byte", "first", "zzz", "w77 ", "it 1a"):
        assert await ids(database, query) == ["conv_1"], query


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(said=st.text(st.characters(exclude_categories=["Cs"]), max_size=80), data=st.data())
async def test_what_was_said_is_found_by_its_words(
    database: Database, said: str, data: st.DataObject
):
    """Any text is kept, and any of its words, followed by a space, finds it again."""
    await say(database, ANN, "conv_1", msg_1=said)
    words = list(words_of(said))
    if not words:
        assert query_of(said) is None
        return
    word = data.draw(st.sampled_from(words))
    assert await ids(database, word + " ") == ["conv_1"]
