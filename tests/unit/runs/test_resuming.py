"""A run that was cut off goes on where its ledger ends, and people are heard while it goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from forge.errors import NothingWaits, RunOver
from forge.events import (
    AnyEvent,
    ApprovalDecided,
    ApprovalRequested,
    ArtifactSaved,
    Caps,
    MessageSteered,
    ModelText,
    RunFinished,
    RunResumed,
    ToolFinished,
    ToolStarted,
)
from forge.ids import RunId, UserId
from forge.models.anthropic import AnthropicModel
from forge.runs.wish import RunWish
from forge.testing.providers.script import Hang, Reply, Say, Script, UseTool
from forge.testing.providers.server import ProviderServer, scripted_provider
from running import House, file, house

SOMEONE = UserId("usr_someone")


@asynccontextmanager
async def asked(script: Script) -> AsyncIterator[tuple[ProviderServer, AnthropicModel]]:
    async with scripted_provider(script) as server:
        model = AnthropicModel("claude-sonnet-5-5", server.key, server.anthropic_url)
        yield server, model
        await model.close()


def python(code: str, name: str = "c1") -> Reply:
    return Reply([Say("Running."), UseTool("run_python", {"code": code}, name)])


async def seen_until(home: House, run_id: RunId, wanted: Callable[[AnyEvent], bool]) -> AnyEvent:
    """The first event of the run that is wanted."""
    async with asyncio.timeout(60):
        async with aclosing(home.service.follow(run_id)) as records:
            async for record in records:
                if wanted(record.event):
                    return record.event
    raise AssertionError("the run is over")


async def events_of(home: House, run_id: RunId) -> list[AnyEvent]:
    """All of them, once the run is over."""
    async with asyncio.timeout(60):
        async with aclosing(home.service.follow(run_id)) as records:
            return [record.event async for record in records]


def only(events: list[AnyEvent], kind: type) -> list[AnyEvent]:
    return [event for event in events if isinstance(event, kind)]


async def test_a_finished_call_is_not_repeated_and_a_cut_off_one_is_told(tmp_path: Path):
    """Files given and kept are back, the model hears what was interrupted, totals go on."""
    first = Reply([
        UseTool("write_file", {"path": "made.txt", "content": "kept"}, "c1"),
    ])  # fmt: skip
    second = python("import time\nprint('x', flush=True)\ntime.sleep(60)", "c2")
    third = python("print(open('in.csv').read(), open('made.txt').read())", "c3")
    script = [first, second, third, Reply([Say("Done.")])]
    async with asked(script) as (server, model):
        async with house(tmp_path, model=model) as home:
            run_id = await home.service.submit(RunWish("go", (file("in.csv", b"given"),)))
            await seen_until(
                home, run_id, lambda e: isinstance(e, ToolStarted) and e.call_id == "c2"
            )
        async with house(tmp_path, model=model) as home:
            before = await home.reader.records(run_id)
            assert not any(isinstance(record.event, RunFinished) for record in before)
            assert (await home.service.recover(resume=True)).resumed == (run_id,)
            events = await events_of(home, run_id)
            last = await home.settled(run_id)
            assert (await home.reader.records(run_id))[: len(before)] == before
    assert (last.status, last.answer) == ("done", "Done.")
    assert [event.attempt for event in only(events, RunResumed)] == [2]
    ends = {event.call_id: event for event in only(events, ToolFinished)}
    assert [ends[name].outcome for name in ("c1", "c2", "c3")] == ["ok", "interrupted", "ok"]
    assert "given kept" in ends["c3"].content
    assert [event.call_id for event in only(events, ToolStarted)] == ["c1", "c2", "c3"]
    told = {result.call_id: result for result in server.requests[2].tool_results}
    assert "interrupted" in told["c2"].text
    assert told["c2"].is_error
    assert "new one" in server.requests[2].system
    assert len(server.requests) == 4
    assert last.totals.iterations == 4
    assert last.totals.tool_calls == 3
    assert len(only(events, ArtifactSaved)) == 1


async def test_a_model_call_nobody_heard_the_end_of_costs_the_most_it_could(tmp_path: Path):
    """It is asked again, and both count, against the caps too."""
    script = [Hang(after_events=4), Reply([Say("Done.")])]
    async with asked(script) as (server, model):
        async with house(tmp_path, model=model) as home:
            run_id = await home.service.submit(RunWish("go"))
            await seen_until(home, run_id, lambda e: isinstance(e, ModelText))
        async with house(tmp_path, model=model) as home:
            await home.service.recover(resume=True)
            events = await events_of(home, run_id)
            last = await home.settled(run_id)
    asks = [event for event in events if event.type == "model.requested"]
    assert [(event.step, event.attempt) for event in asks] == [(1, 1), (1, 2)]
    assert len(server.requests) == 2
    assert asks[0].worst_usd is not None
    assert last.totals.usd is not None
    assert last.totals.usd > asks[0].worst_usd > Decimal(0)
    assert last.totals.usage.output_tokens >= asks[0].max_tokens
    assert last.totals.iterations == 2


@pytest.mark.parametrize("number", range(1, 24, 2))
async def test_a_run_cut_off_after_any_event_is_carried_to_its_end(tmp_path: Path, number: int):
    """Twice in a row, wherever: the ledger stays whole, each call has one end, nothing is left."""
    work = "```python\nprint('a')\nopen('a', 'w').write('1')\n```\n```python\nprint('b')\n```"
    run_id: RunId | None = None
    for _ in range(2):
        async with house(tmp_path) as home:
            if run_id is None:
                run_id = await home.service.submit(RunWish(work, (file("in", b"x"),)))
            else:
                await home.service.recover(resume=True)
            count = 0
            async with aclosing(home.service.follow(run_id)) as records:
                async for _record in records:
                    count += 1
                    if count >= number:
                        break
        assert all(sandbox.stopped for sandbox in home.provider.made)
    async with house(tmp_path) as home:
        await home.service.recover(resume=True)
        events = await events_of(home, run_id)
        last = await home.settled(run_id)
    assert last.status == "done"
    begun = [event.call_id for event in only(events, ToolStarted)]
    ended = [event.call_id for event in only(events, ToolFinished)]
    assert sorted(begun) == sorted(ended) == sorted(set(begun))
    assert len(only(events, RunFinished)) == 1


async def test_what_a_person_says_meanwhile_is_heard_at_the_next_step(tmp_path: Path):
    """Also after what would have been the last answer; a run that is over hears nothing."""
    script = [python("import time; time.sleep(1)"), Reply([Say("Red it is.")])]
    async with asked(script) as (server, model), house(tmp_path, model=model) as home:
        run_id = await home.service.submit(RunWish("go"))
        await seen_until(home, run_id, lambda e: isinstance(e, ToolStarted))
        await home.service.steer(run_id, "Make it red.", by=SOMEONE)
        events = await events_of(home, run_id)
        await home.settled(run_id)
        (steered,) = only(events, MessageSteered)
        assert (steered.text, steered.by, steered.step) == ("Make it red.", SOMEONE, 2)
        assert "Make it red." in server.requests[1].last_user_text
        with pytest.raises(RunOver):
            await home.service.steer(run_id, "Too late.")
        view = await home.service.show(run_id)
        assert "Make it red." in str(view.transcript[2])


async def test_a_stop_ends_a_run_with_what_it_cost(tmp_path: Path):
    """In the middle of an answer: the call is cancelled at the provider, its part is counted."""
    script = [Hang(after_events=4)]
    async with asked(script) as (server, model), house(tmp_path, model=model) as home:
        run_id = await home.service.submit(RunWish("go"))
        await seen_until(home, run_id, lambda e: isinstance(e, ModelText))
        await home.service.stop(run_id, by=SOMEONE)
        await events_of(home, run_id)
        last = await home.settled(run_id)
        assert await server.requests[0].wait_disconnected()
        assert last.status == "cancelled"
        assert last.totals.usd is not None
        assert last.totals.usd > 0
        assert 0 < last.totals.usage.output_tokens < 100
        await home.service.stop(run_id)  # again: nothing happens


async def test_a_stop_given_while_nobody_carried_the_run_out_is_obeyed(tmp_path: Path):
    """The order waits in the database for whoever goes on with the run."""
    script = [python("import time; time.sleep(60)"), Hang()]
    async with asked(script) as (_, model):
        async with house(tmp_path, model=model) as home:
            run_id = await home.service.submit(RunWish("go"))
            await seen_until(home, run_id, lambda e: isinstance(e, ToolStarted))
        async with house(tmp_path, model=model) as home:
            await home.service.stop(run_id)
            await home.service.recover(resume=True)
            await events_of(home, run_id)
            assert (await home.settled(run_id)).status == "cancelled"


@pytest.mark.parametrize("restart", [False, True])
async def test_an_approved_call_is_made_and_a_denied_one_is_told(tmp_path: Path, restart: bool):
    """It waits, across a restart too; the decision is on the ledger with who made it and why."""
    script = [
        Reply([
            UseTool("run_shell", {"command": "echo yes"}, "yes"),
            UseTool("run_shell", {"command": "echo no"}, "no"),
        ]),
        Reply([Say("Done.")]),
    ]  # fmt: skip
    wish = RunWish("go", approve=frozenset({"run_shell"}))
    async with asked(script) as (server, model):
        async with house(tmp_path, model=model) as home:
            run_id = await home.service.submit(wish)
            await seen_until(
                home, run_id, lambda e: isinstance(e, ApprovalRequested) and e.call_id == "no"
            )
            if not restart:
                events = await decided(home, run_id)
        if restart:
            async with house(tmp_path, model=model) as home:
                await home.service.recover(resume=True)
                events = await decided(home, run_id)
    ends = {event.call_id: event for event in only(events, ToolFinished)}
    assert (ends["yes"].outcome, ends["yes"].content) == ("ok", "yes\n")
    assert (ends["no"].outcome, "too risky" in ends["no"].content) == ("denied", True)
    assert [event.call_id for event in only(events, ToolStarted)] == ["yes"]
    assert len(only(events, ApprovalRequested)) == len(only(events, ApprovalDecided)) == 2
    told = {result.call_id: result.text for result in server.requests[1].tool_results}
    assert told["yes"] == "yes\n"
    assert "too risky" in told["no"]


async def decided(home: House, run_id: RunId) -> list[AnyEvent]:
    with pytest.raises(NothingWaits):
        await home.service.decide(run_id, "other", True)
    await home.service.decide(run_id, "yes", True, by=SOMEONE)
    await home.service.decide(run_id, "no", False, by=SOMEONE, why="too risky")
    events = await events_of(home, run_id)
    last = await home.settled(run_id)
    assert last.status == "done"
    return events


async def test_a_call_that_nobody_decides_on_is_denied_in_time(tmp_path: Path):
    """The time ran out: that is on the ledger, and the model is told."""
    script = [Reply([UseTool("run_shell", {"command": "echo"}, "c")]), Reply([Say("Without.")])]
    wish = RunWish("go", approve=frozenset({"run_shell"}))
    async with (
        asked(script) as (_, model),
        house(tmp_path, model=model, approve_s=0.2) as home,
    ):
        run_id = await home.service.submit(wish)
        events = await events_of(home, run_id)
        last = await home.settled(run_id)
    (decision,) = only(events, ApprovalDecided)
    assert (decision.approved, decision.by) == (False, None)
    assert (last.status, last.answer) == ("done", "Without.")


async def test_a_capped_run_goes_on_under_new_caps(tmp_path: Path):
    """The same run: what was said and spent is not forgotten, and it ends a second time."""
    script = [python("x = 41"), Reply([Say("Done.")])]
    async with asked(script) as (server, model), house(tmp_path, model=model) as home:
        run_id = await home.service.submit(RunWish("go", caps=Caps(iterations=1)))
        await events_of(home, run_id)
        assert (await home.settled(run_id)).status == "capped"
        await home.service.resume(run_id, Caps(iterations=2), by=SOMEONE)
        events = await events_of(home, run_id)
        last = await home.settled(run_id)
        assert last.status == "done"
        assert [event.status for event in only(events, RunFinished)] == ["capped", "done"]
        assert last.totals.iterations == len(server.requests) == 2
        assert (await home.service.show(run_id)).caps.iterations == 2
        with pytest.raises(RunOver):
            await home.service.resume(run_id, Caps())


async def test_a_run_whose_files_are_gone_is_closed_as_interrupted(tmp_path: Path):
    """It cannot go on as it was asked; all that it came to stays."""
    script = [python("import time; time.sleep(60)")]
    async with asked(script) as (_, model):
        async with house(tmp_path, model=model) as home:
            run_id = await home.service.submit(RunWish("go", (file("in", b"x"),)))
            await seen_until(home, run_id, lambda e: isinstance(e, ToolStarted))
            for blob in (tmp_path / "blobs").rglob("*"):
                if blob.is_file():
                    blob.unlink()
        async with house(tmp_path, model=model) as home:
            await home.service.recover(resume=True)
            await events_of(home, run_id)
            last = await home.settled(run_id)
    assert (last.status, last.answer) == ("interrupted", "Running.")
    assert last.error is not None


async def test_a_run_that_is_always_interrupted_is_closed_in_the_end(tmp_path: Path):
    """It may be what takes the process down."""
    script = [Hang()] * 20
    async with asked(script) as (_, model):
        run_id: RunId | None = None
        for _ in range(12):
            async with house(tmp_path, model=model) as home:
                if run_id is None:
                    run_id = await home.service.submit(RunWish("go"))
                elif not (await home.service.recover(resume=True)).resumed:
                    break
                await home.driver.clock.sleep(0)
        assert run_id is not None
        async with house(tmp_path, model=model) as home:
            await home.service.recover(resume=True)
            await events_of(home, run_id)
            last = await home.settled(run_id)
    assert last.status == "interrupted"
    assert last.error is not None
    assert "10 times" in last.error.message


async def test_a_conversation_goes_on_with_its_machine_and_its_words(tmp_path: Path):
    """Variables stay between runs, and the model is told what was said before."""
    script = [
        python("x = 41", "c1"), Reply([Say("Noted.")]),
        python("print(x + 1)", "c2"), Reply([Say("42.")]),
    ]  # fmt: skip
    async with asked(script) as (server, model), house(tmp_path, model=model) as home:
        one = await home.service.submit(RunWish("keep 41", conversation_id="conv_1"))
        await events_of(home, one)
        two = await home.service.submit(
            RunWish("add one", conversation_id="conv_1", earlier=(one,))
        )
        ends = only(await events_of(home, two), ToolFinished)
        assert [event.content for event in ends] == ["42\n"]
        assert len(home.provider.made) == 1
        words = [str(message) for message in server.requests[2].messages]
        assert "keep 41" in words[0]
        assert "Noted." in words[-2]
        assert "add one" in words[-1]


async def test_whoever_was_taken_over_cannot_append_any_more(tmp_path: Path):
    """A server that was thought dead wakes up in the middle of a call: its machine is stopped, its
    followers are told, and the run has one end, by the other one.
    """
    script = [python("import time; time.sleep(1)"), Reply([Say("Done.")])]
    async with (
        asked(script) as (_, model),
        house(tmp_path, model=model) as sleeper,
        house(tmp_path, model=model) as other,
    ):
        run_id = await sleeper.service.submit(RunWish("go"))
        await seen_until(sleeper, run_id, lambda e: isinstance(e, ToolStarted))
        assert await other.driver.reopen(run_id) is not None
        await other.service._engine.resume(run_id)
        events = await events_of(other, run_id)
        await sleeper.service._engine.wait(run_id)
        assert (await other.settled(run_id)).status == "done"
        assert all(sandbox.stopped for sandbox in sleeper.provider.made)
    assert [event.outcome for event in only(events, ToolFinished)] == ["interrupted"]
    assert len(only(events, RunFinished)) == 1
