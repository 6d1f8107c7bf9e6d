"""A run goes the way that the person, the rules or the small model chose, and keeps it."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from forge.errors import InputRefused
from forge.events import (
    ApprovalRequested,
    ArtifactSaved,
    Caps,
    ModelRequested,
    ModelText,
    Record,
    RunFinished,
    RunRouted,
    SandboxCreated,
    ToolFinished,
)
from forge.ledger.fold import RunView, fold
from forge.models.anthropic import AnthropicModel
from forge.models.base import Model
from forge.models.openai import OpenAIModel
from forge.runs.wish import RunWish
from forge.testing.providers.script import Fail, Hang, Reply, Say, Script, UseTool
from forge.testing.providers.server import ProviderServer, scripted_provider
from running import House, file, house

OPEN = "colourless green ideas"
"""A message that the rules leave open."""

WORDS = Reply([Say("In words.")])
BLOCK = Reply([Say("Let me see.\n```python\nopen('a.txt', 'w').write('a')\nprint(6 * 7)\n```\n")])


class Scene(House):
    """A house with a run's model `openai:big` and a small one, on one scripted provider."""

    server: ProviderServer

    def asked(self) -> list[str]:
        """Which model each request was for."""
        return [str(each.body["model"]) for each in self.server.requests]


@asynccontextmanager
async def scene(
    folder: Path, script: Script, big: str = "big", **other: Any
) -> AsyncIterator[Scene]:
    async with scripted_provider(script) as server:
        made: dict[str, Model] = {
            name: OpenAIModel(name.partition(":")[2], server.key, server.openai_url)
            for name in (f"openai:{big}", "openai:small")
        }

        def model_of(name: str) -> Model:
            return made[name or f"openai:{big}"]

        given = {"route": "auto", "small_model": "openai:small", "model_of": model_of, **other}
        async with house(folder, **given) as home:
            home.__class__ = Scene
            assert isinstance(home, Scene)
            home.server = server
            yield home
        for model in made.values():
            await model.close()


def only(records: list[Record], kind: type[Any]) -> list[Any]:
    return [record.event for record in records if isinstance(record.event, kind)]


def way(records: list[Record]) -> RunRouted:
    (routed,) = only(records, RunRouted)
    return routed


async def test_what_words_answer_makes_no_machine(tmp_path: Path):
    """The small model answers, is offered no tools, and the ledger has the way and its reason."""
    async with scene(tmp_path, [WORDS]) as home:
        shown = await home.run(RunWish("What is the capital of Peru?"))
        last = await home.settled(shown[0].run_id)
        assert home.provider.made == []
        assert home.asked() == ["small"]
        assert home.server.requests[0].tool_names == ()
    assert (last.status, last.answer, last.totals.sandbox_s) == ("done", "In words.", 0)
    routed = way(shown)
    assert (routed.path, routed.forced, routed.model) == ("chat", False, "openai:small")
    assert only(shown, SandboxCreated) == []


async def test_what_is_work_goes_to_the_agent(tmp_path: Path):
    """The run's own model is offered tools on a machine; the small one is not asked."""
    async with scene(
        tmp_path, [Reply([UseTool("run_shell", {"command": "echo hi"})]), WORDS]
    ) as home:
        shown = await home.run(RunWish("run `echo hi`"))
        await home.settled(shown[0].run_id)
        assert home.asked() == ["big", "big"]
        assert "run_python" in home.server.requests[0].tool_names
    assert (way(shown).path, way(shown).model) == ("agent", "openai:big")


@pytest.mark.parametrize(
    ("said", "path", "asked"),
    [
        ("chat", "chat", ["small", "small"]),
        ("Work.", "agent", ["small", "big"]),
        ("I cannot say.", "agent", ["small", "big"]),
    ],
)
async def test_the_small_model_is_asked_what_the_rules_leave_open(
    tmp_path: Path, said: str, path: str, asked: list[str]
):
    """One short question; its tokens count, its words are no part of what was said."""
    async with scene(tmp_path, [Reply([Say(said)]), WORDS]) as home:
        shown = await home.run(RunWish(OPEN))
        last = await home.settled(shown[0].run_id)
        assert home.asked() == asked
        question = home.server.requests[0]
    assert way(shown).path == path
    assert question.tool_names == ()
    assert question.body["max_tokens"] <= 512
    assert last.answer == "In words."
    assert [event.text for event in only(shown, ModelText) if said[:3] in event.text] == []
    assert [event.step for event in only(shown, ModelRequested)] == [0, 1]
    assert (last.totals.iterations, last.totals.usage.input_tokens) == (2, 200)
    view = fold(shown)
    assert view.routing is not None
    assert view.routing.usage.input_tokens == 100
    assert [step.step for step in view.steps] == [1]
    assert len(view.transcript) == 2


@pytest.mark.parametrize("failure", [Fail(500), Fail(401), Fail(429, retry_after="30")])
async def test_a_small_model_that_fails_is_asked_once_and_it_is_work(tmp_path: Path, failure: Fail):
    """A run does not end, or wait, because a shortcut did not work."""
    async with scene(tmp_path, [failure, WORDS]) as home:
        shown = await home.run(RunWish(OPEN))
        assert (await home.settled(shown[0].run_id)).status == "done"
        assert home.asked() == ["small", "big"]
    assert way(shown).path == "agent"
    assert "asking failed" in way(shown).reason


@pytest.mark.parametrize("caps", [Caps(iterations=1), Caps(tokens=100)])
async def test_the_question_is_not_asked_where_the_caps_have_no_room(tmp_path: Path, caps: Caps):
    """The one call that is allowed is kept for the answer."""
    async with scene(tmp_path, [WORDS]) as home:
        shown = await home.run(RunWish(OPEN, caps=caps))
        await home.settled(shown[0].run_id)
        assert "small" not in home.asked()
    assert "no room to ask" in way(shown).reason


async def test_a_dollar_cap_holds_for_the_question(tmp_path: Path):
    """A small model without a price is not asked under a cap that could not be held."""
    async with scene(tmp_path, [WORDS]) as home:
        shown = await home.run(RunWish(OPEN, caps=Caps(usd=Decimal(1))))
        last = await home.settled(shown[0].run_id)
        assert last.error is not None
        assert (last.status, last.error.code) == ("failed", "price_unknown")
        assert home.asked() == []


async def test_without_a_small_model_the_runs_own_is_asked(tmp_path: Path):
    """An empty FORGE_SMALL_MODEL changes who is asked, and nothing else."""
    async with scene(tmp_path, [Reply([Say("chat")]), WORDS], small_model="") as home:
        shown = await home.run(RunWish(OPEN))
        await home.settled(shown[0].run_id)
        assert home.asked() == ["big", "big"]
    assert (way(shown).path, way(shown).model) == ("chat", "openai:big")


@pytest.mark.parametrize(
    ("path", "asked"), [("chat", "small"), ("agent", "big"), ("pipeline", "big")]
)
async def test_the_person_can_force_a_way(tmp_path: Path, path: str, asked: str):
    """Whatever the message says; the ledger says that it was forced."""
    async with scene(tmp_path, [WORDS]) as home:
        shown = await home.run(RunWish("hello, plot it", route=path))
        await home.settled(shown[0].run_id)
        assert home.asked() == [asked]
        assert bool(home.server.requests[0].tool_names) == (path == "agent")
    assert (way(shown).path, way(shown).forced) == (path, True)


async def test_the_usual_way_is_the_drivers_and_a_wish_goes_before_it(tmp_path: Path):
    """FORGE_ROUTE is for runs that name no way; `auto` is one to name."""
    async with scene(tmp_path, [WORDS, WORDS], route="agent") as home:
        assert way(await home.run(RunWish("hello"))).path == "agent"
        assert way(await home.run(RunWish("hello", route="auto"))).path == "chat"
        with pytest.raises(InputRefused, match="no way 'talk'"):
            await home.service.submit(RunWish("hello", route="talk"))


async def test_the_offline_mode_goes_its_own_way(tmp_path: Path):
    """Nobody is asked, whatever is forced, and the label says what it is."""
    async with house(tmp_path, route="chat") as home:
        shown = await home.run(RunWish("```python\nprint(6 * 7)\n```"))
        await home.settled(shown[0].run_id)
    assert (way(shown).path, way(shown).forced) == ("offline", False)
    (finished,) = only(shown, ToolFinished)
    assert finished.content.strip() == "42"


async def test_a_model_without_tools_runs_blocks_and_mends_them(tmp_path: Path):
    """Write, run, read, repair, answer: with tool events and artifacts as an agent has them."""
    script = [Reply([Say("```python\nx = 6\n1 / 0\n```")]), BLOCK, Reply([Say("It is 42.")])]
    async with scene(tmp_path, script, big="gemma3") as home:
        shown = await home.run(RunWish("compute 6 * 7"))
        last = await home.settled(shown[0].run_id)
        first, second, third = home.server.requests
        assert home.server.refusals == []
    assert way(shown).path == "pipeline"
    assert "```python" in first.system
    assert [each.tool_names for each in (first, second, third)] == [()] * 3
    assert "ZeroDivisionError" in second.last_user_text
    assert "42" in third.last_user_text
    assert all(message["role"] != "tool" for message in third.messages)
    assert [event.outcome for event in only(shown, ToolFinished)] == ["error", "ok"]
    assert [event.name for event in only(shown, ArtifactSaved)] == ["a.txt"]
    assert (last.status, last.answer, last.totals.tool_calls) == ("done", "It is 42.", 2)


async def test_repairing_is_bounded_by_the_caps(tmp_path: Path):
    """A model that never stops writing blocks is stopped as an agent would be."""
    async with scene(tmp_path, lambda _: BLOCK, big="gemma3") as home:
        shown = await home.run(RunWish("compute 6 * 7", caps=Caps(iterations=3)))
        last = await home.settled(shown[0].run_id)
        assert (last.status, len(home.server.requests)) == ("capped", 3)


async def test_a_block_waits_for_a_person_as_a_call_does(tmp_path: Path):
    """What needs an approval needs it from a block too; one that is denied is not run."""
    async with scene(tmp_path, [BLOCK, WORDS], big="gemma3") as home:
        run_id = await home.service.submit(
            RunWish("compute 6 * 7", approve=frozenset({"run_python"}))
        )
        async for record in home.service.follow(run_id):
            if isinstance(record.event, ApprovalRequested):
                await home.service.decide(run_id, record.event.call_id, False, by=None)
        shown = list(await home.reader.records(run_id))
        assert "denied" in home.server.requests[1].last_user_text
    assert [event.outcome for event in only(shown, ToolFinished)] == ["denied"]


async def test_a_server_that_refuses_tools_gets_blocks_instead(tmp_path: Path):
    """What a name did not tell, the refusal does: the run goes on as a pipeline."""
    refusal = Fail(400, "registry.ollama.ai/library/big does not support tools")
    async with scene(tmp_path, [refusal, BLOCK, Reply([Say("It is 42.")])]) as home:
        shown = await home.run(RunWish("compute 6 * 7"))
        last = await home.settled(shown[0].run_id)
        assert [bool(each.tool_names) for each in home.server.requests] == [True, False, False]
        assert len(home.provider.made) == 1
    assert [event.path for event in only(shown, RunRouted)] == ["agent", "pipeline"]
    assert (last.status, last.answer) == ("done", "It is 42.")


@pytest.mark.parametrize("forced", ["agent", ""])
async def test_other_refusals_and_forced_ways_stay_as_they_are(tmp_path: Path, forced: str):
    """Only a refusal of tools, where the person did not insist on them, changes the way."""
    refusal = Fail(400, "does not support tools" if forced else "the prompt is too long")
    async with scene(tmp_path, [refusal]) as home:
        shown = await home.run(RunWish("compute 6 * 7", route=forced))
        last = await home.settled(shown[0].run_id)
    assert last.error is not None
    assert (last.status, last.error.code) == ("failed", "model_request_refused")
    assert [event.path for event in only(shown, RunRouted)] == ["agent"]


async def _cut_off(
    folder: Path, script: Script, wish: RunWish, until: Callable[[Record], bool], **other: Any
) -> RunView:
    """A run whose process ended after a record."""
    async with scene(folder, script, owner="boot:1:1", **other) as home:
        run_id = await home.service.submit(wish)
        async with aclosing(home.service.follow(run_id)) as records:
            async for record in records:
                if until(record):
                    break
    return fold(await _records(folder, run_id))


async def _records(folder: Path, run_id: Any) -> list[Record]:
    async with house(folder) as home:
        return list(await home.reader.records(run_id))


async def _gone_on(home: Scene, before: RunView) -> list[Record]:
    assert (await home.service.recover(resume=True)).resumed == (before.id,)
    return [record async for record in home.service.follow(before.id)]


async def test_a_resumed_run_keeps_its_way(tmp_path: Path):
    """What was asked of the small model is not asked again, and words stay words."""
    before = await _cut_off(
        tmp_path,
        [Reply([Say("chat")]), Hang(after_events=2)],
        RunWish(OPEN),
        lambda record: isinstance(record.event, ModelRequested) and record.event.step == 1,
    )
    assert (before.status, before.routed and before.routed.path) == ("running", "chat")
    async with scene(tmp_path, [WORDS], small_model="") as home:
        shown = await _gone_on(home, before)
        assert home.asked() == ["small"]  # as its ledger says, not as is set by now
        assert home.provider.made == []
    last = shown[-1].event
    assert isinstance(last, RunFinished)
    assert (last.status, last.answer) == ("done", "In words.")
    assert len(only(shown, RunRouted)) == 1


async def test_a_resumed_pipeline_goes_on_where_it_was(tmp_path: Path):
    """A block that had run is not run again; its result is told in words."""
    before = await _cut_off(
        tmp_path,
        [BLOCK, Hang()],
        RunWish("compute 6 * 7"),
        lambda record: isinstance(record.event, ModelRequested) and record.event.step == 2,
        big="gemma3",
    )
    async with scene(tmp_path, [Reply([Say("It is 42.")])], big="gemma3") as home:
        shown = await _gone_on(home, before)
        (request,) = home.server.requests
        assert home.server.refusals == []
    assert "42" in request.last_user_text
    assert request.tool_names == ()
    assert len(only(shown, ToolFinished)) == 1
    assert [event.path for event in only(shown, RunRouted)] == ["pipeline"]


async def test_a_run_that_was_cut_off_while_it_was_routed_is_routed_again(tmp_path: Path):
    """Nobody heard the answer, so it is asked once more, and the first call counts as spent."""
    before = await _cut_off(
        tmp_path, [Hang()], RunWish(OPEN), lambda record: isinstance(record.event, ModelRequested)
    )
    assert before.routed is None
    async with scene(tmp_path, [Reply([Say("chat")]), WORDS]) as home:
        shown = await _gone_on(home, before)
        assert home.asked() == ["small", "small"]
    last = shown[-1].event
    assert isinstance(last, RunFinished)
    assert last.totals.iterations == 3
    assert last.totals.usage.output_tokens > 512


async def test_a_stop_while_it_is_routed_ends_the_run(tmp_path: Path):
    """The question can be cut off like any call, and what it came to is counted."""
    async with scene(tmp_path, [Hang()]) as home, home.service.start(RunWish(OPEN)) as run:
        shown = []
        async for record in run:
            shown.append(record)
            if isinstance(record.event, ModelRequested):
                run.cancel()
        last = await home.settled(run.id)
    assert last.status == "cancelled"
    assert last.totals.usage.input_tokens > 0
    assert only(shown, RunRouted) == []


async def test_work_before_is_told_in_words_to_whoever_has_no_tools(tmp_path: Path):
    """A question about work that was done goes to the small model with what came of it."""
    used = Reply([UseTool("run_python", {"code": "print(6 * 7)"})])
    async with scripted_provider([used, WORDS, WORDS]) as server:
        model = AnthropicModel("claude-test", server.key, server.anthropic_url)
        async with house(tmp_path, model=model, route="auto") as home:
            first = await home.run(RunWish("compute 6 * 7"))
            wish = RunWish("explain in simple words why", earlier=(first[0].run_id,))
            second = await home.run(wish)
            assert len(home.provider.made) == 1
        await model.close()
        assert server.refusals == []
        told = server.requests[-1].messages
    assert way(second).path == "chat"
    assert "print(6 * 7)" in str(told)
    assert "tool_use" not in str(told)
    assert "tool_result" not in str(told)


async def test_given_files_go_to_a_machine(tmp_path: Path):
    """A greeting with a file is work."""
    async with scene(tmp_path, [WORDS]) as home:
        shown = await home.run(RunWish("hi", (file("a.csv", b"1"),)))
    assert way(shown).path == "agent"
