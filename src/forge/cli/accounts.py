"""`forge accounts …` and `forge secrets …`: names and options; `people` carries them out."""

from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli.doing import do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.render import Screen
    from forge.settings import Settings

accounts = typer.Typer(help="Who may use the server.", no_args_is_help=True)
secrets = typer.Typer(help="What seals people's secrets.", no_args_is_help=True)


@accounts.command("invite")
def accounts_invite(
    admin: Annotated[bool, typer.Option("--admin", help="It makes an admin.")] = False,
) -> None:
    """Print a link that makes one account, once, within a week."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.people import invite

        return await invite(settings, screen, "admin" if admin else "user")

    do(command)


@accounts.command("list")
def accounts_list() -> None:
    """List everybody with an account."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.people import list_accounts

        return await list_accounts(settings, screen)

    do(command)


_ACCOUNT = typer.Argument(metavar="ACCOUNT", help="An e-mail address, or an id of `list`.")


@accounts.command("disable")
def accounts_disable(account: Annotated[str, _ACCOUNT]) -> None:
    """Let somebody in no more; every login ends at once."""
    _let_in(account, in_=False)


@accounts.command("enable")
def accounts_enable(account: Annotated[str, _ACCOUNT]) -> None:
    """Let somebody in again."""
    _let_in(account, in_=True)


def _let_in(account: str, *, in_: bool) -> None:
    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.people import let_in

        return await let_in(settings, screen, account, in_=in_)

    do(command)


@secrets.command("rotate")
def secrets_rotate() -> None:
    """Seal every secret with a new master key. Restart a running server afterwards."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.people import rotate

        return await rotate(settings, screen)

    do(command)
