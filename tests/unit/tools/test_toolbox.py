"""Whatever a model sends is answered; only a lost machine ends a call with an exception."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import groupby
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge.errors import GuestRefused, SandboxDied, SandboxStopped
from forge.events import AnyEvent, ToolFinished, ToolOutcome, ToolOutput
from forge.messages import ToolCall
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.commands import Command, ExecResult
from forge.sandbox.files import HOME
from forge.sandbox.output import Sink
from forge.testing.clock import FakeClock
from forge.testing.sandbox import LocalProvider, LocalSandbox
from forge.tools.base import Arguments, Output
from forge.tools.files import ListFiles, ReadFile, WriteFile
from forge.tools.run_python import RunPython
from forge.tools.run_shell import RunShell
from forge.tools.toolbox import Answer, Toolbox

TOOLS = (RunPython(), RunShell(), WriteFile(), ReadFile(), ListFiles())


class Nothing(Arguments):
    pass


class Breaks:
    """A tool that raises what it was made with."""

    name: ClassVar[str] = "breaks"
    description: ClassVar[str] = "Breaks."
    arguments: ClassVar[type[Arguments]] = Nothing
    after: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, _sandbox: Sandbox, _arguments: Nothing, output: Output) -> ToolOutcome:
        await output.write("before")
        raise self.error


@pytest.fixture
async def sandbox() -> AsyncIterator[LocalSandbox]:
    provider = LocalProvider()
    await provider.create(SandboxSpec())
    yield provider.made[0]
    await provider.close()


class Session:
    """A toolbox and the events of its calls."""

    def __init__(self, sandbox: Sandbox, tools: tuple[Any, ...] = TOOLS) -> None:
        self.events: list[AnyEvent] = []
        self.printed = asyncio.Event()
        self.toolbox = Toolbox(sandbox, tools, FakeClock())

    async def emit(self, event: AnyEvent) -> None:
        await asyncio.sleep(0)
        self.events.append(event)
        if isinstance(event, ToolOutput):
            self.printed.set()

    async def call(self, name: str, arguments: str | None = None, **named: Any) -> Answer:
        text = json.dumps(named) if arguments is None else arguments
        call = ToolCall(id="c1", name=name, arguments=text)
        return await self.toolbox.call(call, 1, self.emit)


async def test_python_keeps_its_variables_and_shows_its_last_value(sandbox: LocalSandbox):
    """Two calls share one interpreter; the events tell the story in order."""
    session = Session(sandbox)
    assert (await session.call("run_python", code="x = 20\nprint('hi')")).outcome == "ok"
    answer = await session.call("run_python", code="x + 1")
    assert (answer.result.content, answer.result.is_error) == ("21", False)
    # `print` writes its words and its line end apart, which may come as one piece or as two.
    assert [kind for kind, _ in groupby(event.type for event in session.events)] == [
        "tool.started", "tool.output", "tool.finished",
        "tool.started", "tool.displayed", "tool.finished",
    ]  # fmt: skip


async def test_an_exception_in_code_is_an_error_with_its_traceback(sandbox: LocalSandbox):
    """The model sees what was raised and where."""
    answer = await Session(sandbox).call("run_python", code="print('a')\n1/0")
    assert answer.outcome == "error"
    assert answer.result.content.startswith("a\n")
    assert "ZeroDivisionError" in answer.result.content


async def test_code_past_its_deadline_is_interrupted_and_says_so(sandbox: LocalSandbox):
    """A timeout is a result, and the next call works."""
    session = Session(sandbox)
    answer = await session.call("run_python", code="while True: pass", timeout_s=0.3)
    assert answer.outcome == "timeout"
    assert "interrupted after 0.3 s" in answer.result.content
    assert (await session.call("run_python", code="1")).outcome == "ok"


async def test_an_interpreter_that_ends_is_told_as_crashed(sandbox: LocalSandbox):
    """Code that kills its interpreter gets a new one and is told."""
    answer = await Session(sandbox).call("run_python", code="import os; os._exit(3)")
    assert answer.outcome == "crashed"
    assert "new, empty one" in answer.result.content


@pytest.mark.parametrize(
    ("command", "outcome", "words"),
    [
        ("echo out; echo err >&2", "ok", "out\n"),
        ("exit 3", "error", "[exit code 3]"),
        ("kill -TERM $$", "error", "[ended by SIGTERM]"),
        ("kill -40 $$", "error", "[ended by 40]"),
        ("true", "ok", "(no output)"),
    ],
)
async def test_a_command_ends_in_words(
    sandbox: LocalSandbox, command: str, outcome: str, words: str
):
    """Exit codes and signals are results that the model can read."""
    answer = await Session(sandbox).call("run_shell", command=command)
    assert answer.outcome == outcome
    assert words in answer.result.content


class WithoutBash:
    """A sandbox of a template that has no bash."""

    def __init__(self, sandbox: LocalSandbox) -> None:
        self._inner = sandbox.commands
        self.commands = self

    async def run(self, command: Command, sink: Sink) -> ExecResult:
        if command.argv[0] == "bash":
            raise GuestRefused("cannot start bash: No such file or directory")
        return await self._inner.run(command, sink)


async def test_a_machine_without_bash_runs_command_lines_by_sh(sandbox: LocalSandbox):
    """A template may be made of any image that has a shell."""
    session = Session(WithoutBash(sandbox))
    answer = await session.call("run_shell", command="echo by $0")
    assert (answer.outcome, answer.result.content) == ("ok", "by /bin/sh\n")


async def test_a_command_that_prints_without_end_is_killed_at_its_deadline(sandbox: LocalSandbox):
    """The output is bounded in the ledger and clipped for the model, and the call ends."""
    session = Session(sandbox)
    answer = await session.call("run_shell", command="yes", timeout_s=0.5)
    assert answer.outcome == "timeout"
    assert len(answer.result.content) < 17_000
    kept = sum(len(event.text) for event in session.events if isinstance(event, ToolOutput))
    assert kept <= (4 << 20) + 200
    assert "killed after 0.5 s" in answer.result.content


async def test_files_are_written_read_and_listed(sandbox: LocalSandbox):
    """Text goes in and comes out, whole or by lines."""
    session = Session(sandbox)
    await session.call("write_file", path="sub/a.txt", content="one\ntwo\nthree\n")
    assert (await session.call("read_file", path="sub/a.txt")).result.content == "one\ntwo\nthree\n"
    part = await session.call("read_file", path="sub/a.txt", first_line=2, lines=1)
    assert part.result.content == "two\n"
    listed = await session.call("list_files", depth=2)
    assert f"-         14 {HOME}/sub/a.txt\n" in listed.result.content
    assert f"{HOME}/sub\n" in listed.result.content
    (sandbox.home / "b.bin").write_bytes(b"\x89PNG\xff")
    binary = await session.call("read_file", path="b.bin")
    assert binary.outcome == "error"
    assert "89 50 4e 47 ff" in binary.result.content
    (sandbox.home / "evil\x1b[2J\n").write_text("x")
    listed = await session.call("list_files")
    assert "\x1b" not in listed.result.content


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("rm_rf", "{}", "There is no tool 'rm_rf'. The tools are: run_python, run_shell"),
        ("x" * 5000, "{}", "There is no tool"),
        ("run_python", '{"code": "1', "not valid JSON"),
        ("run_python", "[" * 100_000, "not valid JSON"),
        ("run_python", '"code"', "do not fit"),
        ("run_python", "", "code: Field required"),
        ("run_python", '{"code": 1}', "code: Input should be a valid string"),
        ("run_python", '{"code": "1", "cod": 2}', "cod: Extra inputs"),
        ("run_python", '{"code": "1", "timeout_s": 1e9}', "less than or equal to 300"),
        ("run_python", '{"code": "1", "timeout_s": true}', "timeout_s"),
        ("run_shell", '{"command": ""}', "command: String should have at least 1"),
        ("run_shell", '{"command": "a\\u0000b"}', "input_refused"),
        ("read_file", '{"path": "none"}', "file_not_found"),
        ("read_file", '{"path": "a\\u0000b"}', "path_refused"),
        ("read_file", json.dumps({"path": "x" * 5000}), "path_refused"),
        ("read_file", '{"path": "/etc/passwd"}', "guest_refused"),
        ("write_file", '{"path": "../../x", "content": ""}', "guest_refused"),
        ("list_files", '{"path": "/home/user/none"}', "file_not_found"),
    ],
)
async def test_a_wrong_call_is_answered_with_what_is_wrong(
    sandbox: LocalSandbox, name: str, arguments: str, words: str
):
    """The answer is an error that names the fault; the events are complete."""
    session = Session(sandbox)
    answer = await session.call(name, arguments)
    assert (answer.outcome, answer.result.is_error) == ("error", True)
    assert words in answer.result.content
    assert len(answer.result.content) < 1000
    assert [event.type for event in session.events] == ["tool.started", "tool.finished"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["read_file", "list_files", "write_file", "nothing", ""]),
    arguments=st.text(st.characters(codec=None), max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["path", "x"]), inner),
    ).map(json.dumps),
)
async def test_no_arguments_break_the_toolbox(sandbox: LocalSandbox, name: str, arguments: str):
    """Random text, lone surrogates and random JSON all get an answer."""
    session = Session(sandbox)
    answer = await session.call(name, arguments)
    assert isinstance(session.events[-1], ToolFinished)
    assert answer.outcome in ("ok", "error")


async def test_a_tool_that_fails_unforeseen_is_answered_as_crashed(
    sandbox: LocalSandbox, caplog: pytest.LogCaptureFixture
):
    """The run goes on, what was printed before is kept, and the log has the traceback."""
    session = Session(sandbox, (Breaks(ZeroDivisionError("secret")),))
    answer = await session.call("breaks")
    assert answer.outcome == "crashed"
    assert answer.result.content.startswith("before\n")
    assert "ZeroDivisionError" in answer.result.content
    assert "secret" not in answer.result.content
    assert "ZeroDivisionError: secret" in caplog.text


async def test_a_lost_machine_ends_the_call_after_its_last_event(sandbox: LocalSandbox):
    """The call is on record as crashed, then the error goes up to the run."""
    session = Session(sandbox, (Breaks(SandboxDied("gone")),))
    with pytest.raises(SandboxDied):
        await session.call("breaks")
    last = session.events[-1]
    assert isinstance(last, ToolFinished)
    assert (last.outcome, last.content) == ("crashed", "before\nThe machine is lost: gone")
    await sandbox.stop()
    with pytest.raises(SandboxStopped):
        await Session(sandbox).call("run_shell", command="true")


async def test_the_specs_are_json_schemas_of_closed_objects(sandbox: LocalSandbox):
    """Each tool is told to a model with its fields described and no others allowed."""
    specs = Toolbox(sandbox, TOOLS, FakeClock()).specs
    assert [spec.name for spec in specs] == [
        "run_python", "run_shell", "write_file", "read_file", "list_files",
    ]  # fmt: skip
    for spec in specs:
        assert spec.parameters["type"] == "object"
        assert spec.parameters["additionalProperties"] is False
        assert all("description" in field for field in spec.parameters["properties"].values())
    assert "run_python" in Toolbox(sandbox, TOOLS, FakeClock()).waits_for("run_python")


async def test_cancelling_a_call_ends_its_command(sandbox: LocalSandbox):
    """Nothing the call started is left running."""
    session = Session(sandbox)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(session.call("run_shell", command="echo $$; exec sleep 1000"))
        async with asyncio.timeout(60):
            await session.printed.wait()
        task.cancel()
    assert not sandbox._processes
