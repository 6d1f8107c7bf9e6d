"""A run from wish to last event: everything kept, the machine stopped, however it ends."""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from forge.clock import SystemClock
from forge.errors import InputRefused, LedgerUnwritable, RunNotFound, SandboxDied
from forge.events import (
    ArtifactSaved,
    Caps,
    Notice,
    Record,
    RunStarted,
    SandboxCreated,
    ToolFinished,
    ToolStarted,
)
from forge.ids import new_run_id
from forge.ledger.read import LedgerReader
from forge.models.anthropic import AnthropicModel
from forge.models.base import Model, ModelEvent, ModelRequest
from forge.models.offline import OfflineModel
from forge.runs.artifacts import ArtifactLimits
from forge.runs.owner import start_field, this_process
from forge.runs.wish import RunWish
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.files import HOME
from forge.store.database import Database
from forge.testing.providers.script import Reply, Say, UseTool
from forge.testing.providers.server import scripted_provider
from forge.testing.sandbox import LocalProvider
from running import file, house, place_in

pytestmark = pytest.mark.usefixtures("either_database")

SHUT = {
    "sqlite": "CREATE TRIGGER shut BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'shut'); END",
    "postgresql": "ALTER TABLE events ADD CONSTRAINT shut CHECK (false) NOT VALID",
}
OPENED = {"sqlite": "DROP TRIGGER shut", "postgresql": "ALTER TABLE events DROP CONSTRAINT shut"}
"""So that nothing can be appended to the ledger, and how it can be again."""

WORK = """Please:
```python
print('hello')
open('made.txt', 'w').write('made')
```
```python
import os; os.makedirs('out'); open('out/b.txt', 'w').write('b'); open('.hidden', 'w').write('h')
```
"""


async def test_a_run_is_done_and_all_it_made_is_kept(tmp_path: Path):
    """Upload, code, output, artifacts by digest, answer, totals: shown and kept alike."""
    async with house(tmp_path) as home:
        wish = RunWish(WORK + "```python\nopen('in.csv').read()\n```\n", (file("in.csv", b"1\n"),))
        shown = await home.run(wish)
        run_id = shown[0].run_id
        last = await home.settled(run_id)
        assert tuple(shown) == await home.reader.records(run_id)
        assert (last.status, last.error) == ("done", None)
        saved = {e.name: e for r in shown if isinstance(e := r.event, ArtifactSaved)}
        assert set(saved) == {"made.txt", "out/b.txt"}
        assert home.blobs.path(saved["made.txt"].sha256).read_text() == "made"
        view = await home.service.show(run_id[:-1])
        assert view.steps[0].tools[0].content == "hello\n4"
        assert [artifact.name for artifact in view.steps[0].artifacts] == ["made.txt"]
        assert (view.totals().tool_calls, view.totals().usd) == (3, Decimal(0))
        assert view.totals().sandbox_s > 0
        assert [run.status for run in await home.service.list_runs()] == ["done"]


async def test_every_record_was_durable_before_it_was_shown(tmp_path: Path):
    """A second connection finds each record at the moment it is shown."""
    async with (
        house(tmp_path) as home,
        Database.open(place_in(tmp_path)) as other,
        home.service.start(RunWish(WORK)) as run,
    ):
        async for record in run:
            assert record in await LedgerReader(other).records(run.id)


@pytest.mark.parametrize("number", range(1, 22))
async def test_a_run_cancelled_at_any_event_ends_as_cancelled(tmp_path: Path, number: int):
    """After the n-th event, for each n: the last event is there and the machine is gone."""
    async with house(tmp_path) as home:
        seen: list[Record] = []
        async with home.service.start(RunWish(WORK)) as run:
            async for record in run:
                seen.append(record)
                if len(seen) == number:
                    run.cancel()
                    run.cancel()
        last = await home.settled(run.id)
        assert last.status == ("cancelled" if number < len(seen) else "done")
        assert seen[-1].event == last
        assert tuple(seen) == await home.reader.records(run.id)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610])
async def test_a_reader_cancelled_at_any_moment_leaves_nothing_running(tmp_path: Path, turns: int):
    """Ctrl-C cancels the reading task, twice: the run is closed before the reader is left."""
    async with house(tmp_path) as home:

        async def read() -> None:
            async with home.service.start(RunWish(WORK)) as run:
                async for _ in run:
                    pass

        async with asyncio.TaskGroup() as group:
            task = group.create_task(read())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
        for run in await home.service.list_runs():
            assert (await home.settled(run.id)).status in ("cancelled", "done")


class StopsSlowly(LocalProvider):
    """Its machines stop when they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping, self.let = asyncio.Event(), asyncio.Event()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        sandbox = await super().create(spec)
        stop = sandbox.stop

        async def slowly() -> None:
            self.stopping.set()
            await self.let.wait()
            await stop()

        sandbox.stop = slowly  # type: ignore[method-assign]
        return sandbox


async def test_a_second_cancel_does_not_interrupt_the_ending(tmp_path: Path):
    """Impatience while the machine is being stopped changes nothing about the ledger's end."""
    provider = StopsSlowly()
    async with house(tmp_path, provider=provider) as home:
        begun = asyncio.Event()

        async def read() -> None:
            async with home.service.start(RunWish("```python\nwhile True: pass\n```")) as run:
                async for record in run:
                    if isinstance(record.event, ToolStarted):
                        begun.set()

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = group.create_task(read())
            await begun.wait()
            task.cancel()
            await provider.stopping.wait()
            for running in asyncio.all_tasks() - {asyncio.current_task(), task}:
                if "drive" in repr(running.get_coro()):
                    running.cancel()
            await asyncio.sleep(0)
            provider.let.set()
        (run,) = await home.service.list_runs()
        await home.reader.verify(run.id)
        assert run.status == "cancelled"
        assert provider.made[0].stopped


async def test_a_reader_that_leaves_or_fails_ends_the_run(tmp_path: Path):
    """Its own error comes out as it is, and the run is closed."""
    async with house(tmp_path) as home:

        async def fails() -> None:
            async with home.service.start(RunWish(WORK)) as run:
                async for _ in run:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fails()
        (run,) = await home.service.list_runs()
        assert (await home.settled(run.id)).status == "cancelled"


async def test_a_capped_run_keeps_its_partial_answer_and_its_files(tmp_path: Path):
    """A model that loops is stopped by its iterations; what it said and made stays."""
    code = "open(f'{len(__import__(\"os\").listdir())}.txt', 'w').write('x')"
    reply = Reply([Say("Still at it."), UseTool("run_python", {"code": code})])
    async with scripted_provider(lambda _: reply) as server:
        model = AnthropicModel("claude-test", server.key, server.anthropic_url)
        async with house(tmp_path, model=model) as home:
            shown = await home.run(RunWish("go", caps=Caps(iterations=3)))
            last = await home.settled(shown[0].run_id)
        await model.close()
    assert (last.status, last.answer) == ("capped", "Still at it.")
    assert last.error is not None
    assert last.error.code == "cap_reached"
    assert (last.totals.iterations, last.totals.usd) == (3, None)
    assert sum(isinstance(record.event, ArtifactSaved) for record in shown) == 3
    assert len(server.requests) == 3


async def test_a_usd_cap_without_a_price_is_refused_before_any_call(tmp_path: Path):
    """An unknown price is not free: the model is never asked."""
    async with scripted_provider([Reply([Say("x")])]) as server:
        model = AnthropicModel("claude-test", server.key, server.anthropic_url)
        async with house(tmp_path, model=model) as home:
            shown = await home.run(RunWish("go", caps=Caps(usd=Decimal(1))))
            last = await home.settled(shown[0].run_id)
        await model.close()
    assert last.error is not None
    assert (last.status, last.error.code) == ("failed", "price_unknown")
    assert server.requests == []


async def test_a_wrong_key_fails_the_run_in_words(tmp_path: Path):
    """The error of the tree is on the ledger with its hint."""
    async with scripted_provider([]) as server:
        model = AnthropicModel("claude-test", "wrong-key-000000", server.anthropic_url)
        async with house(tmp_path, model=model) as home:
            shown = await home.run(RunWish("go"))
            last = await home.settled(shown[0].run_id)
        await model.close()
    assert last.error is not None
    assert (last.status, last.error.code) == ("failed", "model_unauthorized")
    assert last.error.hint


class Breaks(OfflineModel):
    """A model with a fault in its code."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        assert request.messages
        raise ZeroDivisionError("sk-secret")
        yield  # an async generator, like every model


async def test_a_fault_nobody_foresaw_fails_the_run_and_tells_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """The ledger has the kind of exception, the log its text."""
    broken: Model = Breaks()
    async with house(tmp_path, model=broken) as home:
        shown = await home.run(RunWish("go"))
        last = await home.settled(shown[0].run_id)
    assert last.error is not None
    assert (last.status, last.error.code) == ("failed", "forge_error")
    assert "ZeroDivisionError" in last.error.message
    assert "sk-secret" not in last.model_dump_json()
    assert "sk-secret" in caplog.text


async def test_a_machine_that_cannot_be_made_fails_the_run(tmp_path: Path):
    """The provider's error is the run's, and nothing was made."""
    async with house(tmp_path) as home:
        shown = await home.run(RunWish("go", machine=SandboxSpec(template="broken")))
        last = await home.settled(shown[0].run_id)
        assert last.error is not None
        assert (last.status, last.error.code) == ("failed", "sandbox_died")
        assert not any(isinstance(record.event, SandboxCreated) for record in shown)


class Dies(LocalProvider):
    """Its machines die when code is run."""

    async def create(self, spec: SandboxSpec) -> Sandbox:
        sandbox = await super().create(spec)

        async def run_code(*_: object, **__: object) -> None:
            raise SandboxDied("The machine is gone.")

        sandbox.code.run = run_code  # type: ignore[assignment,method-assign]
        return sandbox


async def test_a_machine_that_dies_fails_the_run_and_keeps_what_was(tmp_path: Path):
    """The tool call is closed as crashed, then the run as failed."""
    async with house(tmp_path, provider=Dies()) as home:
        shown = await home.run(RunWish(WORK))
        last = await home.settled(shown[0].run_id)
        assert last.error is not None
        assert (last.status, last.error.code) == ("failed", "sandbox_died")
        (tool,) = [e for record in shown if isinstance(e := record.event, ToolFinished)]
        assert tool.outcome == "crashed"


async def test_a_ledger_that_cannot_be_written_stops_the_run_and_the_machine(tmp_path: Path):
    """What was shown was durable; the reader gets the ledger's error, recovery the run."""
    async with house(tmp_path) as home:
        seen: list[Record] = []

        async def read() -> None:
            async with home.service.start(RunWish(WORK)) as run:
                async for record in run:
                    seen.append(record)
                    if isinstance(record.event, SandboxCreated):
                        async with home.database.writing() as connection:
                            await connection.execute(text(SHUT[home.database.dialect]))

        with pytest.raises(LedgerUnwritable):
            await read()
        async with home.database.writing() as connection:
            await connection.execute(text(OPENED[home.database.dialect]))
        assert tuple(seen) == await home.reader.records(seen[0].run_id)
        (sandbox,) = home.provider.made
        assert sandbox.stopped


async def test_a_wish_that_cannot_be_carried_out_makes_nothing(tmp_path: Path):
    """No ledger, no machine."""
    async with house(tmp_path) as home:
        with pytest.raises(InputRefused):
            await home.run(RunWish("go", (file("../x", b""),)))
        assert await home.service.list_runs() == ()
        assert home.provider.made == []
        with pytest.raises(RunNotFound):
            await home.service.show("run_")


@pytest.mark.parametrize("later", [b"", b"tw", b"four"])
async def test_a_file_that_is_not_as_large_as_was_said_is_refused(tmp_path: Path, later: bytes):
    """It grew or shrank between being named and being read: no run begins."""
    async with house(tmp_path) as home:
        with pytest.raises(InputRefused, match="changed"):
            await home.run(RunWish("go", (file("a", b"one", later),)))
        assert await home.service.list_runs() == ()


async def test_what_is_too_large_or_too_much_is_left_with_a_notice(tmp_path: Path):
    """Limits on one file and on all are said, not silent; a rewrite of the same is no artifact."""
    code = (
        "open('big', 'w').write('x' * 11)\n"
        "for name in 'abc': open(name, 'w').write('12345')\n"
        "import os; os.symlink('/etc/passwd', 'link')\n"
        "open('x\\ny', 'w').write('1')"
    )
    again = "import os; open('a', 'w').write('12345'); os.utime('a', (1, 1))"
    limits = ArtifactLimits(file=10, total=10)
    async with house(tmp_path, artifacts=limits) as home:
        shown = await home.run(RunWish(f"```python\n{code}\n```\n```python\n{again}\n```"))
        await home.settled(shown[0].run_id)
    saved = [e.name for record in shown if isinstance(e := record.event, ArtifactSaved)]
    notices = [e.text for record in shown if isinstance(e := record.event, Notice)]
    assert saved == ["a", "b"]
    assert ["big was not kept" in notices[0], "c, and what follows" in notices[1]] == [True, True]
    assert any("unsafe name" in notice for notice in notices)


async def test_recovery_closes_the_runs_of_the_dead_and_only_those(tmp_path: Path):
    """A dead owner's run is interrupted with its totals; a living one's and a corrupt one stay."""
    async with house(tmp_path) as home:
        clock, started = SystemClock(), RunStarted(prompt="p", model="m", template="b", caps=Caps())
        ids = [new_run_id(clock.now()) for _ in range(3)]
        boot = this_process().partition(":")[0]
        living = f"{boot}:1:{start_field(Path('/proc/1/stat').read_text())}"
        owners = ["boot:1:1", living, "boot:1:1"]
        for run_id, owner in zip(ids, owners, strict=True):
            appender, _ = await home.driver.ledger.begin(run_id, owner, started)
            await appender.append(Notice(text="x"))
        async with home.database.writing() as connection:
            where = "" if home.database.dialect == "sqlite" else " ON events"
            await connection.execute(text(f"DROP TRIGGER events_no_delete{where}"))
            await connection.execute(
                text("DELETE FROM events WHERE run_id = :id AND seq = 1"), {"id": ids[2]}
            )
        assert (await home.service.recover()).closed == (ids[0],)
        assert (await home.service.recover()).closed == ()
        last = await home.settled(ids[0])
        assert (last.status, last.error) == ("interrupted", None)
        assert (await home.service.show(ids[1])).status == "running"


async def test_a_prompt_is_told_whole_and_its_files_are_in_place(tmp_path: Path):
    """The model is told of the files; the upload is not taken for something the run made."""
    async with scripted_provider([Reply([Say("ok")])]) as server:
        model = AnthropicModel("claude-test", server.key, server.anthropic_url)
        async with house(tmp_path, model=model) as home:
            shown = await home.run(RunWish("What is in it?", (file("a.csv", b"1"),)))
        await model.close()
    assert f"{HOME}/a.csv (1 bytes)" in server.requests[0].system
    assert not any(isinstance(record.event, ArtifactSaved) for record in shown)
