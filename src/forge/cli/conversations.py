"""`forge conversations …`: names and options; `talks` carries them out."""

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forge.cli.doing import Json, do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.cli.talks import Desk
    from forge.settings import Settings

conversations = typer.Typer(help="Look at conversations, and keep them.", no_args_is_help=True)

_Limit = Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="How many conversations.")]
_Conversation = Annotated[
    str, typer.Argument(metavar="CONVERSATION", help="Its id, or the beginning of it.")
]


def _do(carry_out: "Callable[[Desk], Coroutine[Any, Any, None]]", *, json: bool = False) -> None:
    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.exits import Exit
        from forge.cli.talks import at_desk

        async with at_desk(settings, screen, as_json=json) as desk:
            await carry_out(desk)
        return Exit.DONE

    do(command)


@conversations.command("list")
def conversations_list(limit: _Limit = 20, json: Json = False) -> None:
    """List your conversations, the last used first."""
    _do(lambda desk: desk.list(limit), json=json)


@conversations.command("search")
def conversations_search(
    words: Annotated[str, typer.Argument(help="What was said: all these words.")],
    limit: _Limit = 20,
    json: Json = False,
) -> None:
    """Find conversations by what was said in them, the best first."""
    _do(lambda desk: desk.list(limit, words), json=json)


@conversations.command("show")
def conversations_show(conversation: _Conversation, json: Json = False) -> None:
    """Show what was said, and by which runs."""
    _do(lambda desk: desk.show(conversation), json=json)


@conversations.command("rename")
def conversations_rename(
    conversation: _Conversation,
    title: Annotated[str, typer.Argument(help="Its new title.")],
    json: Json = False,
) -> None:
    """Give one another title."""
    _do(lambda desk: desk.rename(conversation, title), json=json)


@conversations.command("delete")
def conversations_delete(
    conversation: _Conversation,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you mean it.")] = False,
    json: Json = False,
) -> None:
    """Remove one with its messages and links, for good. Its runs stay on the ledger."""
    sure = yes or (
        sys.stdin.isatty()
        and typer.confirm(f"Remove the conversation {conversation!r} for good?", abort=True)
    )
    _do(lambda desk: desk.delete(conversation, sure=sure), json=json)


@conversations.command("export")
def conversations_export(
    conversation: _Conversation,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="markdown, json or ipynb.")
    ] = "markdown",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file that is not there yet; else standard output."),
    ] = None,
) -> None:
    """Take one away as Markdown, JSON or a Jupyter notebook of the code that ran."""
    _do(lambda desk: desk.export(conversation, form, out))


@conversations.command("share")
def conversations_share(conversation: _Conversation, json: Json = False) -> None:
    """Make a link that shows it to whoever has the link, until it is revoked."""
    _do(lambda desk: desk.share(conversation), json=json)


@conversations.command("shares")
def conversations_shares(conversation: _Conversation, json: Json = False) -> None:
    """List the links that were made to one."""
    _do(lambda desk: desk.shares(conversation), json=json)


@conversations.command("unshare")
def conversations_unshare(
    conversation: _Conversation,
    link: Annotated[
        str, typer.Argument(metavar="LINK", help="A link's id of `shares`; else all of them.")
    ] = "",
    json: Json = False,
) -> None:
    """Let links to it show nothing any more."""
    _do(lambda desk: desk.unshare(conversation, link), json=json)


@conversations.command("fork")
def conversations_fork(
    conversation: _Conversation,
    at: Annotated[
        str, typer.Option(metavar="MESSAGE", help="Up to this message; else to the last.")
    ] = "",
    machine: Annotated[
        bool, typer.Option("--machine", help="With a copy of its machine, as it is now.")
    ] = False,
    json: Json = False,
) -> None:
    """Begin another that has said the same."""
    _do(lambda desk: desk.fork(conversation, at, machine=machine), json=json)
