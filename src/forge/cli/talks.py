"""`forge conversations`: a client of the server's, or of the same app in this process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import BaseModel

from forge.cli import words
from forge.cli.harmless import one_line
from forge.cli.link import linked
from forge.cli.newfile import write_new
from forge.cli.render import Screen
from forge.client.said import ShareLine, TalkLine
from forge.client.talks import Talks
from forge.errors import InputRefused
from forge.settings import Settings

FORMS = ("markdown", "json", "ipynb")


class Desk:
    """Carries out what is asked about conversations. Made by `at_desk`."""

    def __init__(self, talks: Talks, screen: Screen, *, as_json: bool) -> None:
        self._talks, self._screen, self._as_json = talks, screen, as_json

    async def list(self, limit: int, search: str = "") -> None:
        """Print them, or those in which it was said."""
        if search and not search.strip():
            raise InputRefused("There is nothing to look for.")
        found = await self._talks.list(limit, search)
        if self._as_json:
            self._print(found)
        elif found:
            self._screen.table(
                ("CONVERSATION", "LAST USED", "FOUND" if search else "TITLE"),
                [_row(each) for each in found],
            )
        elif search:
            self._screen.line("Nothing was found.")
        else:
            self._screen.line("There are no conversations yet. `forge chat` begins one.")

    async def show(self, text: str) -> None:
        """Print what was said in one."""
        talk = await self._talks.show(await self._talks.find(text))
        if self._as_json:
            self._print([talk])
            return
        self._screen.line(f"{_title(talk)} ({talk.id})", "bold")
        for said in talk.messages:
            about = f"{said.created_at.astimezone():%Y-%m-%d %H:%M} · {said.id}"
            if said.run_id:
                about += f" · {said.run_id}"
            self._screen.line(f"\n{about}", "dim")
            self._screen.line(("» " if said.role == "user" else "") + said.text.strip())

    async def rename(self, text: str, title: str) -> None:
        """Give one another title."""
        renamed = await self._talks.rename(await self._talks.find(text), title)
        self._tell([renamed], f"{renamed.id} is called {one_line(renamed.title)!r} now.")

    async def delete(self, text: str, *, sure: bool) -> None:
        """Remove one for good, if that is meant.

        Raises:
            InputRefused: it is not said that it is.
        """
        if not sure:
            raise InputRefused(
                "A conversation is removed for good, and nobody is here to be asked.",
                hint="Say --yes.",
            )
        talk = await self._talks.show(await self._talks.find(text))
        await self._talks.delete(talk.id)
        self._tell([TalkLine(**dict(talk))], f"{_title(talk)} ({talk.id}) was removed.")

    async def export(self, text: str, form: str, out: Path | None) -> None:
        """Write one to a file, or to standard output."""
        if form not in FORMS:
            raise InputRefused(f"There is no form {form[:40]!r}; choose {', '.join(FORMS)}.")
        content = await self._talks.export(await self._talks.find(text), form)
        if out is None:
            self._screen.raw(content)
        else:
            write_new(out, content)
            self._screen.notice(f"{out}: {words.size(len(content))}.")

    async def share(self, text: str) -> None:
        """Make a link."""
        made = await self._talks.share(await self._talks.find(text))
        if self._as_json:
            self._print([made])
            return
        self._screen.line(str(made.url))
        self._screen.notice(
            f"Whoever has it sees what was said so far, as long as a server is there; "
            f"`forge conversations unshare {text} {made.id}` ends that."
        )

    async def shares(self, text: str) -> None:
        """List the links to one."""
        found = await self._talks.shares(await self._talks.find(text))
        if self._as_json:
            self._print(found)
        elif found:
            self._screen.table(("LINK", "MADE", ""), [_link_row(each) for each in found])
        else:
            self._screen.line("There is no link to it.")

    async def unshare(self, text: str, link: str) -> None:
        """Let one link show nothing any more, or all."""
        conversation = await self._talks.find(text)
        ended = [
            each
            for each in await self._talks.shares(conversation)
            if not each.revoked and each.id.startswith(link)
        ]
        if link and len(ended) != 1:
            raise InputRefused(
                f"There is no one link {link[:80]!r} that shows anything.",
                hint=f"`forge conversations shares {text}` lists them.",
            )
        for each in ended:
            await self._talks.unshare(conversation, each.id)
        gone = [each.model_copy(update={"revoked": True}) for each in ended]
        self._tell(gone, f"{words.plural(len(ended), 'link')} ended.")

    async def fork(self, text: str, at: str, *, machine: bool) -> None:
        """Begin another that has said the same."""
        made = await self._talks.fork(await self._talks.find(text), at=at, machine=machine)
        goes_on = f"`forge chat --conversation {made.id}` goes on in it."
        self._tell([made], f"{made.id} has said the same. {goes_on}")

    def _tell(self, found: Sequence[BaseModel], said: str) -> None:
        if self._as_json:
            self._print(found)
        else:
            self._screen.line(said)

    def _print(self, found: Sequence[BaseModel]) -> None:
        for each in found:
            self._screen.raw_json(each.model_dump_json(ensure_ascii=True, exclude_none=True))


@asynccontextmanager
async def at_desk(settings: Settings, screen: Screen, *, as_json: bool) -> AsyncIterator[Desk]:
    """A desk until the block is left.

    Raises:
        ForgeError: as in `forge.cli.link.linked`.
    """
    async with linked(settings, screen, asking=False) as link:
        yield Desk(link.client.talks, screen, as_json=as_json)


def _title(talk: TalkLine) -> str:
    return one_line(talk.title) or "Untitled"


def _row(talk: TalkLine) -> tuple[str, ...]:
    shown = talk.found.text if talk.found else _title(talk)
    return talk.id, f"{talk.updated_at.astimezone():%Y-%m-%d %H:%M}", " ".join(shown.split())


def _link_row(link: ShareLine) -> tuple[str, ...]:
    made = f"{link.created_at.astimezone():%Y-%m-%d %H:%M}"
    return link.id, made, "ended" if link.revoked else "shows it"
