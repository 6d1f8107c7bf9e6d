"""What a person wishes for, checked before anything is made or spent.

Files are kept as blobs before the run begins, so that whoever carries it out, now or after a crash
and in whichever process, gives the machine exactly what the person gave.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from forge.agent.router import WANTED
from forge.errors import InputRefused, PathRefused
from forge.events import Caps, FileFact, MachineFact, RunStarted, VolumeFact
from forge.ids import ConversationId, MessageId, RunId
from forge.runs.artifacts import Blobs
from forge.sandbox.base import Limits, SandboxSpec
from forge.sandbox.volumes import VolumeMount

LONGEST_PROMPT = 1_000_000
LONGEST_NAME = 255
"""Linux's own NAME_MAX, in bytes."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A person's file: the name it gets in the machine, its size in bytes, and how to read it.
    `open` is called once.
    """

    name: str
    size: int
    open: Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class RunWish:
    """A prompt, the files that go with it, what may be spent, and the machine it is done in.

    Attributes:
        prompt: what is asked.
        files: what is given with it: read now, or kept as a blob already.
        caps: what may be spent.
        machine: the machine; variables of its own are not possible, as they are kept nowhere.
        own_machine: the machine ends with the run, though a conversation could keep it.
        model: which model is asked, as `provider:model`; empty for the usual one.
        small_model: who answers in words, likewise; empty for the usual one.
        approve: tools whose calls wait for a person.
        route: the way it is answered, or `auto`; empty for the usual one.
        conversation_id: the conversation it belongs to, whose machine it is done in.
        message_id: the message that asks for it.
        earlier: the runs of the conversation that it goes on from, oldest first.
    """

    prompt: str
    files: tuple[Upload | FileFact, ...] = ()
    caps: Caps = field(default_factory=Caps)
    machine: SandboxSpec = field(default_factory=SandboxSpec)
    own_machine: bool = False
    model: str = ""
    small_model: str = ""
    approve: frozenset[str] = frozenset()
    route: str = ""
    conversation_id: ConversationId | None = None
    message_id: MessageId | None = None
    earlier: tuple[RunId, ...] = ()


def check(wish: RunWish) -> None:
    """Check a wish.

    Raises:
        InputRefused: the prompt is empty, too long or not text; the files do not fit the machine's
            disk or share a name; the machine is to have variables; there is no such way.
        PathRefused: a file's name is not one plain name.
    """
    if not wish.prompt.strip():
        raise InputRefused("There is nothing asked: the prompt is empty.")
    if len(wish.prompt) > LONGEST_PROMPT:
        raise InputRefused(
            f"The prompt is {len(wish.prompt)} characters long; at most {LONGEST_PROMPT} can be "
            "asked. Give long text as a file."
        )
    check_route(wish.route)
    if wish.machine.env:
        raise InputRefused("A run's machine cannot have variables of its own: nothing keeps them.")
    check_text(wish.prompt)
    _check_files(wish)


def check_route(route: str) -> None:
    """Refuse what is no way to answer; empty is the usual one.

    Raises:
        InputRefused: there is no such way.
    """
    if route and route not in WANTED:
        raise InputRefused(
            f"There is no way {route[:80]!r} to answer.",
            hint=f"Choose one of: {', '.join(WANTED)}.",
        )


async def kept(wish: RunWish, blobs: Blobs) -> tuple[FileFact, ...]:
    """Keep a checked wish's files as blobs; returns what is known of them.

    Raises:
        InputRefused: a file is not of the size that it was said to be.
        NoSpace, HostUnfit: the host cannot keep it.
    """
    return tuple([await _fact(each, blobs) for each in wish.files])


def started_of(
    wish: RunWish, model: str, files: tuple[FileFact, ...], route: str = "auto"
) -> RunStarted:
    """The first event of a run, which holds the whole wish; `route` is the usual way."""
    limits = wish.machine.limits
    return RunStarted(
        prompt=wish.prompt,
        model=model,
        template=wish.machine.template,
        caps=wish.caps,
        files=files,
        machine=MachineFact(
            limits={name: getattr(limits, name) for name in Limits.__dataclass_fields__},
            volumes=tuple(
                VolumeFact(name=volume.name, path=volume.path, read_only=volume.read_only)
                for volume in wish.machine.volumes
            ),
            own=wish.own_machine,
        ),
        approve=tuple(sorted(wish.approve)),
        route=wish.route or route,
        small_model=wish.small_model,
        conversation_id=wish.conversation_id,
        message_id=wish.message_id,
        earlier=wish.earlier,
    )


def machine_of(started: RunStarted) -> SandboxSpec:
    """The machine that a run's first event asks for. Limits of a newer Forge are left out."""
    known = {
        name: value
        for name, value in started.machine.limits.items()
        if name in Limits.__dataclass_fields__
    }
    volumes = tuple(
        VolumeMount(volume.name, volume.path, volume.read_only)
        for volume in started.machine.volumes
    )
    return SandboxSpec(started.template, Limits(**known), volumes)


def check_name(name: str) -> None:
    """Refuse what is not one plain file name.

    Raises:
        PathRefused: it is empty, a path, `.` or `..`, too long, or not printable text.
    """
    shown = name if len(name) <= LONGEST_NAME else f"{name[:40]}…"
    if name in ("", ".", "..") or "/" in name:
        raise PathRefused(f"{shown!r} is not a plain file name.")
    # Surrogates (bytes that are not UTF-8), NUL, control and direction characters among them.
    if not name.isprintable():
        raise PathRefused(f"The file name {shown!r} holds characters that cannot be shown.")
    size = len(name.encode())
    if size > LONGEST_NAME:
        raise PathRefused(
            f"The file name {shown!r} is {size} bytes long; at most {LONGEST_NAME} are possible."
        )


def check_text(prompt: str) -> None:
    """Refuse what is not text.

    Raises:
        InputRefused: it holds what UTF-8 cannot.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InputRefused("The prompt holds bytes that are not UTF-8 text.") from error


def _check_files(wish: RunWish) -> None:
    for upload in wish.files:
        check_name(upload.name)
    names = [upload.name for upload in wish.files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputRefused(f"More than one file is named {twice[0]!r}.")
    size, room = sum(upload.size for upload in wish.files), wish.machine.limits.disk_mib * _MIB
    if size > room:
        raise InputRefused(
            f"The files are {size} bytes; the machine's disk holds {room}.",
            hint="Give fewer or smaller files, or choose a machine with a larger disk.",
        )


async def _fact(given: Upload | FileFact, blobs: Blobs) -> FileFact:
    if isinstance(given, FileFact):
        return given
    async with aclosing(given.open()) as chunks:
        try:
            blob = await blobs.put(chunks, limit=given.size)
        except InputRefused as error:
            raise _changed(given) from error
    if blob.size != given.size:
        raise _changed(given)
    return FileFact(name=given.name, size=blob.size, sha256=blob.sha256)


def _changed(given: Upload) -> InputRefused:
    return InputRefused(f"The file {given.name} changed while it was read.")
