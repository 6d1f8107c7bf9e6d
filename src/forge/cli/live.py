"""A run as it happens: records in, lines out.

The model's words are printed as they come and its reasoning dimmed; the code it runs is printed
before it runs, its output behind a mark at the left of each line. Nothing is kept but what the end
needs: the artifacts, by their last version, and the run's last event.
"""

import json
from collections.abc import Callable

from forge.cli import words
from forge.cli.harmless import one_line
from forge.cli.outfolder import Written
from forge.cli.render import Gutter, Screen
from forge.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    ArtifactSaved,
    FileUploaded,
    MessageSteered,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    ModelText,
    ModelThinking,
    ModelToolInput,
    Notice,
    Record,
    RunFinished,
    RunResumed,
    RunRouted,
    RunStarted,
    SandboxCreated,
    ToolDisplayed,
    ToolFinished,
    ToolOutput,
    ToolStarted,
)

_LANGUAGES = {"run_python": ("code", "python"), "run_shell": ("command", "bash")}
_CONTENT_LINES = 20
_ERR = "red"
_OUTCOMES = {
    "ok": ("done", "green"),
    "error": ("failed", "red"),
    "timeout": ("stopped at its deadline", "red"),
    "crashed": ("crashed", "red"),
    "cancelled": ("cancelled", "yellow"),
    "interrupted": ("interrupted", "yellow"),
    "denied": ("denied", "yellow"),
}
_STATUSES = {
    "done": ("✓ Done", "bold green"),
    "failed": ("✗ Failed", "bold red"),
    "cancelled": ("■ Cancelled", "bold yellow"),
    "capped": ("■ Stopped by a cap", "bold yellow"),
    "interrupted": ("■ Interrupted", "bold yellow"),
}


class LiveView:
    """Prints one run. `begun` is told its first event."""

    def __init__(
        self, screen: Screen, begun: Callable[[RunStarted], None] = lambda _: None
    ) -> None:
        self._begun = begun
        self.artifacts: dict[str, ArtifactSaved] = {}
        self.finished: RunFinished | None = None
        self._screen = screen
        self._machine: SandboxCreated | None = None
        self._gutter: Gutter | None = None
        self._call = ""
        self._open: dict[str, str] = {}
        self._spoke: set[str] = set()
        self._writing = ""
        self._style = ""
        self._asked = True

    def show(self, record: Record) -> None:
        """Print what happened."""
        event = record.event
        match event:
            case ModelRequested() | ModelText() | ModelThinking() | ModelToolInput():
                self._model(event)
            case ModelFailed() | ModelResponded():
                self._answered(event)
            case ToolStarted() | ToolOutput() | ToolDisplayed() | ToolFinished():
                self._tool(event)
            case _:
                self._rest(event, record)

    def _rest(self, event: AnyEvent, record: Record) -> None:
        match event:
            case RunStarted():
                self._begun(event)
                self._screen.notice(f"Run {record.run_id}")
                self._asked = not event.model.startswith("offline:")
            case SandboxCreated():
                self._machine = event
                self._screen.notice(
                    f"Machine {one_line(event.sandbox_id)} is ready after "
                    f"{words.duration(event.duration_ms / 1000)} "
                    f"({event.provider}, {event.accelerator})"
                )
            case RunRouted() if self._asked:
                self._screen.notice(one_line(words.way(event)))
            case FileUploaded():
                self._screen.notice(f"Uploaded {one_line(event.path)} ({words.size(event.size)})")
            case ArtifactSaved():
                self.artifacts[event.name] = event
            case Notice():
                self._screen.important(one_line(event.text))
            case RunFinished():
                self.finished = event
            case _:
                self._told(event, record)

    def _told(self, event: AnyEvent, record: Record) -> None:
        """What came to the run from outside."""
        match event:
            case RunResumed(why="interrupted"):
                self._screen.notice("The run was interrupted and goes on.")
            case RunResumed():
                self._screen.notice("The run goes on under new caps.")
            case ApprovalRequested():
                until = f"{event.expires_at.astimezone():%H:%M:%S}"
                which = f"{record.run_id} {one_line(event.call_id)[:200]}"
                self._screen.important(
                    f"{one_line(event.name)[:80]} waits for you until {until}: "
                    f"`forge runs approve {which}`, or deny."
                )
                print_call(self._screen, event.name, event.arguments)
            case ApprovalDecided():
                self._screen.notice("Approved." if event.approved else "Denied.")
            case MessageSteered():
                self._screen.notice(f"Told: {one_line(event.text)[:200]}")

    def _model(self, event: ModelRequested | ModelText | ModelThinking | ModelToolInput) -> None:
        match event:
            case ModelRequested():
                self._writing = ""
                if event.attempt > 1:
                    self._screen.notice(f"Asking again (attempt {event.attempt})")
            case ModelText():
                self._words(event.text, "")
            case ModelThinking():
                self._words(event.text, "dim italic")
            case ModelToolInput():
                if self._asked and event.call_id != self._writing:
                    self._writing = event.call_id
                    self._screen.notice(f"… writing a call of {one_line(event.name)[:80]}")

    def _words(self, text: str, style: str) -> None:
        if style != self._style:
            self._screen.fresh_line()
        self._style = style
        self._screen.prose(text, style)

    def _answered(self, event: ModelFailed | ModelResponded) -> None:
        if isinstance(event, ModelResponded):
            self._screen.fresh_line()
            if event.stop_reason == "refusal":
                self._screen.important("The model declined to answer.")
            elif event.stop_reason == "max_tokens":
                self._screen.important("The answer was cut off at its longest allowed length.")
        elif event.retry_in_s is not None:
            when = words.duration(event.retry_in_s)
            self._screen.important(f"{words.sentence(event.error.message)} Trying again in {when}.")

    def _tool(self, event: ToolStarted | ToolOutput | ToolDisplayed | ToolFinished) -> None:
        match event:
            case ToolStarted():
                self._begin(event)
            case ToolOutput():
                self._to(event.call_id).write(event.text, _ERR if event.stream == "stderr" else "")
            case ToolDisplayed():
                self._to(event.call_id).write(displayed(event.data))
            case ToolFinished():
                self._end(event)

    def _begin(self, event: ToolStarted) -> None:
        label = name = one_line(event.name)[:80]
        number = 1
        while label in self._open.values():
            number += 1
            label = f"{name} {number}"
        self._open[event.call_id] = label
        self._screen.line(f"▸ {label}", "bold cyan")
        print_call(self._screen, event.name, event.arguments)
        self._gutter, self._call = None, event.call_id

    def _to(self, call_id: str) -> Gutter:
        """The block this call's output goes to; calls that run at once take turns."""
        self._spoke.add(call_id)
        if self._gutter is None or call_id != self._call:
            if call_id != self._call:
                self._screen.line(f"  … {self._open.get(call_id, call_id)}:", "dim")
            self._gutter, self._call = self._screen.gutter(), call_id
        return self._gutter

    def _end(self, event: ToolFinished) -> None:
        if event.outcome != "ok" and event.call_id not in self._spoke:
            # A refusal: nothing ran, and only the model was told why.
            self._to(event.call_id).write(clipped(event.content), _ERR)
        word, style = _OUTCOMES[event.outcome]
        alone = len(self._open) == 1
        name = self._open.pop(event.call_id, event.name)
        took = words.duration(event.duration_ms / 1000)
        self._screen.line(f"  {word if alone else f'{name} {word}'} in {took}", f"dim {style}")
        self._gutter = None

    def written(self, written: Written) -> None:
        """Print what became of an artifact."""
        say_written(self._screen, self._screen.line, written)

    def close(self) -> None:
        """Print how the run ended: the error, if any, then one line of totals."""
        finished = self.finished
        if finished is None:
            return
        if finished.error is not None:
            self._screen.error(finished.error)
        word, style = _STATUSES[finished.status]
        machine = self._machine
        on = f" · {machine.provider}/{machine.accelerator}" if machine else " · no machine"
        self._screen.line(f"{word} · {words.totals(finished.totals)}{on}", style)


def say_written(screen: Screen, say: Callable[[str], None], written: Written) -> None:
    """Say where an artifact was put, with its size and digest, or why it was not."""
    if written.error is not None:
        screen.error(written.error)
        return
    artifact = written.artifact
    say(f"→ {written.path} ({words.size(artifact.size)})\n  sha256 {artifact.sha256}")


def print_call(screen: Screen, name: str, arguments: str) -> None:
    """Print what a tool was asked: its program as such, anything else as it was written."""
    field, language = _LANGUAGES.get(name, ("", "json"))
    try:
        asked = json.loads(arguments)
    except (ValueError, RecursionError):
        asked = None
    source = asked.get(field) if isinstance(asked, dict) else None
    if not isinstance(source, str):
        screen.code(clipped(arguments), "json")
    else:
        screen.code(source, "python" if language == "python" else "bash")


def displayed(data: dict[str, str]) -> str:
    """A rich result as text: its plain text, and what else there is by kind and size."""
    lines = [data["text/plain"].rstrip("\n")] if "text/plain" in data else []
    for kind, value in data.items():
        if kind.startswith("image/"):
            # Base64, except SVG, which is text.
            count = len(value) if kind.endswith("+xml") else len(value.rstrip("=\n")) * 3 // 4
            lines.append(f"[{one_line(kind)[:80]}, {words.size(count)}]")
        elif "text/plain" not in data:
            lines.append(f"[{one_line(kind)[:80]}, {words.size(len(value.encode()))}]")
    return "\n".join(lines) + "\n" if lines else ""


def clipped(text: str, lines: int = _CONTENT_LINES) -> str:
    """The first lines of a text, with a mark where more follow."""
    rows = text.rstrip("\n").split("\n")
    rest = len(rows) - lines
    more = [f"… ({words.plural(rest, 'more line')})"] if rest > 0 else []
    return "\n".join(rows[:lines] + more) + "\n"
