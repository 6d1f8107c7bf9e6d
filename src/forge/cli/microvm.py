"""`forge microvm …`: machines for people and scripts, and the worker that another Forge drives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forge.cli.doing import Json, do

if TYPE_CHECKING:
    from forge.cli.exits import Exit
    from forge.cli.oneshot import Do
    from forge.cli.render import Screen
    from forge.settings import Settings

microvm = typer.Typer(
    help="Use machines by hand, and find out what this host can do.", no_args_is_help=True
)
Machine = Annotated[str, typer.Argument(metavar="MACHINE", help="A machine's id.")]


@microvm.command("probe")
def microvm_probe(
    fresh: Annotated[bool, typer.Option("--fresh", help="Try again; believe no cache.")] = False,
    json: Json = False,
) -> None:
    """Say what this host can do. Which accelerator works and why, and what to change."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.doctor import probe

        return await probe(settings, screen, fresh=fresh, as_json=json)

    do(command)


@microvm.command("create")
def microvm_create(
    template: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="A template's or a snapshot's name; else FORGE_TEMPLATE, or base."
        ),
    ] = "",
) -> None:
    """Make a machine and leave it paused; prints its id and facts."""
    from forge.cli import oneshot

    _one(oneshot.create(template))


@microvm.command("exec", context_settings={"allow_interspersed_args": False})
def microvm_exec(  # noqa: PLR0913 - one argument per option of the command
    machine: Machine,
    argv: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="The program and its words.")
    ],
    cwd: Annotated[str, typer.Option(metavar="PATH", help="Where it starts.")] = ".",
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A variable; may be repeated.")
    ] = None,
    root: Annotated[bool, typer.Option("--root", help="Run it as root of the machine.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="End it after this.")
    ] = 60.0,
    stdin: Annotated[bool, typer.Option("--stdin", help="Give it our standard input.")] = False,
    json: Json = False,
) -> None:
    """Run a command in a machine. Its output is ours, and its exit code too."""
    from forge.cli import oneshot

    words = argv[1:] if argv[0] == "--" and len(argv) > 1 else argv  # where options end for others
    order = oneshot.Order(tuple(words), cwd, tuple(env or ()), root, timeout, stdin, json)
    _one(oneshot.execute(machine, order))


@microvm.command("write")
def microvm_write(
    machine: Machine,
    path: Annotated[str, typer.Argument(help="The file in the machine.")],
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Else standard input.")
    ] = None,
) -> None:
    """Write a file in a machine, whole or not at all."""
    from forge.cli import oneshot

    _one(oneshot.write(machine, path, source))


@microvm.command("read")
def microvm_read(
    machine: Machine,
    path: Annotated[str, typer.Argument(help="The file in the machine.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="With -r: the new folder here.")
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take a whole folder, into DIR.")
    ] = False,
) -> None:
    """Print a machine's file, its bytes as they are; or with -r take a folder out, into DIR."""
    from forge.cli import oneshot

    if recursive != (folder is not None):
        raise typer.BadParameter("-r and DIR go together: read -r MACHINE PATH DIR")
    _one(oneshot.read_folder(machine, path, folder) if folder else oneshot.read(machine, path))


@microvm.command("list")
def microvm_list(
    machine: Annotated[
        str, typer.Argument(metavar="[MACHINE]", help="A machine's id; without one, all machines.")
    ] = "",
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="A folder of the machine.")] = ".",
    depth: Annotated[int, typer.Option(min=1, metavar="N", help="How many levels.")] = 1,
) -> None:
    """List the machines there are, or a folder of one."""
    from forge.cli import oneshot

    _one(oneshot.list_files(machine, path, depth) if machine else oneshot.list_machines)


@microvm.command("pause")
def microvm_pause(machine: Machine) -> None:
    """See that a machine is paused, and whole."""
    from forge.cli import oneshot

    _one(oneshot.pause(machine))


@microvm.command("resume")
def microvm_resume(
    machine: Machine,
    for_s: Annotated[
        float, typer.Option("--for", min=0, metavar="SECONDS", help="Then it is paused again.")
    ] = 0.0,
) -> None:
    """Have a machine run for a while. Its background processes go on meanwhile."""
    from forge.cli import oneshot

    _one(oneshot.resume(machine, for_s))


@microvm.command("fork")
def microvm_fork(
    machine: Machine,
    count: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="How many copies.")] = 1,
) -> None:
    """Copy a machine, memory and all. Every copy is left paused; prints their ids."""
    from forge.cli import oneshot

    _one(oneshot.fork(machine, count))


@microvm.command("snapshot")
def microvm_snapshot(
    machine: Machine,
    name: Annotated[str, typer.Argument(help="What `create --template` will call it.")],
) -> None:
    """Keep what a machine is now. `create --template` makes machines of it."""
    from forge.cli import oneshot

    _one(oneshot.snapshot(machine, name))


@microvm.command("snapshots")
def microvm_snapshots() -> None:
    """List what `snapshot` has kept."""
    from forge.cli import oneshot

    _one(oneshot.snapshots)


@microvm.command("forget")
def microvm_forget(
    name: Annotated[str, typer.Argument(help="What `snapshot` kept.")],
) -> None:
    """Remove a snapshot. Machines that were made from it go on."""
    from forge.cli import oneshot

    _one(oneshot.forget(name))


@microvm.command("destroy")
def microvm_destroy(machine: Machine) -> None:
    """Remove a machine and everything in it."""
    from forge.cli import oneshot

    _one(oneshot.destroy(machine))


@microvm.command("serve")
def microvm_serve() -> None:
    """Be a worker on standard input and output. Another Forge starts this and uses its machines."""

    async def command(settings: "Settings", screen: "Screen") -> "Exit":
        from forge.cli.serving import serve

        return await serve(settings, screen)

    do(command)


def _one(wanted: "Do") -> None:
    async def command(settings: "Settings", screen: "Screen") -> "Exit | int":
        from forge.cli.oneshot import with_machines

        return await with_machines(settings, screen, wanted)

    do(command)
