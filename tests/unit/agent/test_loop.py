"""The loop asks, acts and answers: through the real SDKs, against scripted HTTP providers."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from forge.agent.context import Context, sendable
from forge.agent.loop import Assignment, run_loop
from forge.agent.prompt import system_prompt
from forge.agent.retries import Retries
from forge.errors import (
    CapReached,
    ModelOverloaded,
    ModelRequestRefused,
    ModelStreamBroken,
    ModelUnauthorized,
    ModelUnreachable,
    SandboxDied,
)
from forge.events import (
    AnyEvent,
    FileFact,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    ModelText,
    ModelThinking,
    Notice,
    ToolFinished,
    ToolStarted,
    Totals,
)
from forge.messages import AssistantMessage, Text, UserMessage
from forge.models.anthropic import AnthropicModel
from forge.models.base import Model
from forge.models.openai import OpenAIModel
from forge.sandbox.base import SandboxSpec
from forge.testing.clock import FakeClock
from forge.testing.providers.script import (
    Fail,
    Overload,
    Reply,
    Say,
    Script,
    Think,
    Truncate,
    UseTool,
)
from forge.testing.providers.server import ProviderServer, scripted_provider
from forge.testing.sandbox import LocalProvider, LocalSandbox
from forge.tools.files import ListFiles, ReadFile, WriteFile
from forge.tools.run_python import RunPython
from forge.tools.run_shell import RunShell
from forge.tools.toolbox import Toolbox
from forge.usage import Usage

TOOLS = (RunPython(), RunShell(), WriteFile(), ReadFile(), ListFiles())
DONE = Reply([Say("Done.")])


class Allows:
    """A budget of so many calls."""

    def __init__(self, calls: int = 16) -> None:
        self.calls = calls
        self.asked: list[Totals] = []

    def allow(self, spent: Totals, *, input_tokens: int, max_tokens: int) -> int:
        assert input_tokens > 0
        self.asked.append(spent)
        if spent.iterations >= self.calls:
            raise CapReached(f"The cap of {self.calls} is reached.")
        return max_tokens

    def worst(self, input_tokens: int, max_tokens: int) -> Decimal | None:
        return Decimal(input_tokens + max_tokens)

    def cost(self, usage: Usage) -> Decimal | None:
        return Decimal(usage.total_tokens) / 1000


class Talk:
    """A model on a scripted provider, a machine, and what came of running the loop."""

    def __init__(self, server: ProviderServer, model: Model, sandbox: LocalSandbox) -> None:
        self.server, self.model, self.sandbox = server, model, sandbox
        self.clock, self.events = FakeClock(), list[AnyEvent]()

    async def run(self, budget: Allows | None = None, prompt: str = "go") -> list[AnyEvent]:
        assignment = Assignment(
            system=system_prompt(),
            messages=(UserMessage(parts=(Text(text=prompt),)),),
            retries=Retries(chance=lambda: 0),
        )
        toolbox = Toolbox(self.sandbox, TOOLS, self.clock)
        async for event in run_loop(
            self.model, toolbox, budget or Allows(), self.clock, assignment
        ):
            self.events.append(event)
        return self.events

    def only(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
async def sandbox() -> AsyncIterator[LocalSandbox]:
    provider = LocalProvider()
    await provider.create(SandboxSpec())
    yield provider.made[0]
    await provider.close()


@pytest.fixture(params=["anthropic", "openai"])
def provider_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Stage:
    """Makes a `Talk` with a script, through one provider's real SDK."""

    def __init__(self, provider: str, sandbox: LocalSandbox) -> None:
        self.provider, self.sandbox = provider, sandbox

    async def play(
        self, script: Script, *, budget: Allows | None = None, key: str | None = None
    ) -> Talk:
        async with scripted_provider(script) as server:
            talk = Talk(server, self.model(server, key), self.sandbox)
            try:
                await talk.run(budget)
            except Exception as error:
                error.talk = talk  # type: ignore[attr-defined]
                raise
            finally:
                await talk.model.close()
            return talk

    def model(self, server: ProviderServer, key: str | None) -> Model:
        if self.provider == "anthropic":
            return AnthropicModel("claude-test", key or server.key, server.anthropic_url)
        return OpenAIModel("gpt-test", key or server.key, server.openai_url)


@pytest.fixture
def stage(provider_name: str, sandbox: LocalSandbox) -> Stage:
    return Stage(provider_name, sandbox)


def python(code: str) -> UseTool:
    return UseTool("run_python", {"code": code})


async def test_an_answer_without_tools_ends_the_loop(stage: Stage):
    """Request, words as they arrive, the whole answer with its cost; then nothing."""
    talk = await stage.play([DONE])
    assert talk.events[0].type == "model.requested"
    assert "".join(event.text for event in talk.only(ModelText)) == "Done."
    (responded,) = talk.only(ModelResponded)
    assert talk.events[-1] is responded
    assert responded.message.text == "Done."
    assert (responded.usd, responded.stop_reason) == (Decimal("0.12"), "end")


async def test_a_failed_attempt_is_read_and_mended(stage: Stage):
    """The model sees its traceback, tries again with the variables kept, and answers."""
    talk = await stage.play(
        [
            Reply([Say("First."), python("x = 6\nx / 0")]),
            Reply([python("print(x * 7)")]),
            Reply([Say("It is 42.")]),
        ]
    )
    assert [event.outcome for event in talk.only(ToolFinished)] == ["error", "ok"]
    second, third = talk.server.requests[1:]
    assert "ZeroDivisionError" in second.tool_results[-1].text
    assert third.tool_results[-1].text.strip() == "42"
    assert talk.server.refusals == []


async def test_reasoning_goes_back_with_its_seal(sandbox: LocalSandbox):
    """The provider checks the seal itself: a refusal would end the loop."""
    talk = await Stage("anthropic", sandbox).play(
        [Reply([Think("Let me think."), python("1")]), DONE]
    )
    assert "".join(event.text for event in talk.only(ModelThinking)) == "Let me think."
    assert talk.server.refusals == []


async def test_parallel_calls_run_at_once_and_are_answered_in_order(stage: Stage):
    """Two commands that wait for each other's file end only if both run; results keep order."""
    wait = "touch {0}; until test -e {1}; do sleep 0.01; done; echo {0}"
    talk = await stage.play(
        [
            Reply(
                [
                    UseTool("run_shell", {"command": wait.format("a", "b"), "timeout_s": 20}),
                    UseTool("run_shell", {"command": wait.format("b", "a"), "timeout_s": 20}),
                ]
            ),
            DONE,
        ]
    )
    results = talk.server.requests[1].tool_results
    assert [result.text.strip() for result in results] == ["a", "b"]


async def test_cells_of_one_answer_run_in_the_order_they_were_written(stage: Stage):
    """Later code finds what earlier code and earlier files left."""
    talk = await stage.play(
        [
            Reply(
                [
                    UseTool("write_file", {"path": "n.txt", "content": "5"}),
                    python("import time; time.sleep(0.05); n = int(open('n.txt').read())"),
                    python("n += 1"),
                    python("print(n)"),
                ]
            ),
            DONE,
        ]
    )
    assert talk.server.requests[1].tool_results[-1].text.strip() == "6"


async def test_code_waits_for_the_files_written_before_it(stage: Stage):
    """A slow write is over before the code of the same answer begins."""
    story, begun = list[str](), asyncio.Event()
    write, run = stage.sandbox.files.write, stage.sandbox.code.run

    async def slow_write(*args: Any) -> int:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await begun.wait()
        story.append("written")
        return await write(*args)

    async def noted_run(*args: Any, **named: Any) -> Any:
        begun.set()
        story.append("code")
        return await run(*args, **named)

    stage.sandbox.files.write = slow_write  # type: ignore[method-assign]
    stage.sandbox.code.run = noted_run  # type: ignore[method-assign]
    file = UseTool("write_file", {"path": "n.txt", "content": "5"})
    await stage.play([Reply([file, python("open('n.txt').read()")]), DONE])
    assert story == ["written", "code"]


async def test_a_model_that_loops_forever_is_stopped_by_the_cap(stage: Stage):
    """The same failing call each time: the budget is asked before each request and ends it."""
    budget = Allows(calls=4)
    with pytest.raises(CapReached) as raised:
        await stage.play(lambda _: Reply([python("1/0")]), budget=budget)
    talk = raised.value.talk  # type: ignore[attr-defined]
    assert len(talk.server.requests) == 4
    assert len(talk.only(ModelRequested)) == 4
    assert budget.asked[-1] == Totals(
        iterations=4, usage=Usage(input_tokens=400, output_tokens=80), usd=Decimal("0.48")
    )


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (UseTool("launch_missiles", {}), "There is no tool"),
        (UseTool("run_python", '{"code": "1'), "not valid JSON"),
        (UseTool("run_python", {"cod": "1"}), "code: Field required"),
    ],
)
async def test_a_wrong_call_is_answered_and_the_loop_goes_on(
    stage: Stage, tool: UseTool, words: str
):
    """Unknown tools, broken JSON and wrong arguments come back as tool errors."""
    talk = await stage.play([Reply([tool]), DONE])
    assert words in talk.server.requests[1].tool_results[-1].text
    assert talk.only(ModelResponded)[-1].message.text == "Done."
    assert talk.server.refusals == []


async def test_an_answer_cut_off_in_a_call_is_told_to_the_model(stage: Stage):
    """A truncated tool call becomes a tool error that says to send less at once."""
    talk = await stage.play(
        [Reply([UseTool("run_python", '{"code": "x = 1')], stop_reason="max_tokens"), DONE]
    )
    assert "send less at once" in talk.server.requests[1].tool_results[-1].text


async def test_an_answer_cut_off_in_its_words_ends_with_a_notice(stage: Stage):
    """The person is told that the answer is not whole."""
    talk = await stage.play([Reply([Say("It is")], stop_reason="max_tokens")])
    assert "cut off" in talk.only(Notice)[0].text


async def test_an_overload_is_waited_out_as_long_as_it_asks(stage: Stage):
    """Each attempt is on record; Retry-After is obeyed on the given clock."""
    talk = await stage.play([Fail(429, retry_after="7"), Fail(503), DONE])
    failures: Sequence[ModelFailed] = talk.only(ModelFailed)
    assert [(f.attempt, f.error.code, f.retry_in_s) for f in failures] == [
        (1, "model_rate_limited", 7.0),
        (2, "model_overloaded", 2.0),
    ]
    assert [wait for wait in talk.clock.slept if wait >= 1] == [7.0, 2.0]
    assert [event.attempt for event in talk.only(ModelRequested)] == [1, 2, 3]


async def test_an_overload_that_asks_for_an_hour_is_given_up_at_once(stage: Stage):
    """Nobody waits an hour: the error says how long the provider asked for."""
    with pytest.raises(ModelOverloaded, match="3600 s") as raised:
        await stage.play([Fail(529, retry_after="3600"), DONE])
    assert len(raised.value.talk.server.requests) == 1  # type: ignore[attr-defined]


async def test_an_overload_without_end_is_given_up_after_three_attempts(stage: Stage):
    """The last failure names no further attempt."""
    with pytest.raises(ModelOverloaded) as raised:
        await stage.play(lambda _: Overload())
    talk = raised.value.talk  # type: ignore[attr-defined]
    assert [event.retry_in_s is None for event in talk.only(ModelFailed)] == [False, False, True]


async def test_an_answer_that_breaks_off_is_asked_for_again(stage: Stage):
    """What arrived is on record before the failure; the second attempt is whole."""
    talk = await stage.play([Truncate(4, Reply([Say("Some long words, cut off.")])), DONE])
    assert talk.only(ModelFailed)[0].error.code == ModelStreamBroken.code
    assert talk.only(ModelResponded)[0].message.text == "Done."


async def test_a_wrong_key_is_not_tried_twice(stage: Stage):
    """The person has to act; one attempt shows it."""
    with pytest.raises(ModelUnauthorized) as raised:
        await stage.play([DONE], key="wrong-key-000000")
    assert len(raised.value.talk.server.requests) == 1  # type: ignore[attr-defined]


async def test_a_refused_request_is_not_tried_twice(stage: Stage):
    """The same request would be refused again."""
    with pytest.raises(ModelRequestRefused) as raised:
        await stage.play([Fail(400, "no such model")])
    assert len(raised.value.talk.only(ModelFailed)) == 1  # type: ignore[attr-defined]


async def test_no_network_is_tried_three_times(sandbox: LocalSandbox):
    """A closed port is unreachable; the error goes up after the last attempt."""
    async with scripted_provider([]) as server:
        url, key = server.anthropic_url, server.key
    model = AnthropicModel("claude-test", key, url)
    talk = Talk(server, model, sandbox)
    with pytest.raises(ModelUnreachable):
        await talk.run()
    await model.close()
    assert len(talk.only(ModelFailed)) == 3


async def test_a_lost_machine_ends_the_loop_with_its_own_error(stage: Stage):
    """Not an exception group: the run wants the sandbox's error."""

    async def dies(*_: object, **__: object) -> None:
        raise SandboxDied("The machine is gone.")

    stage.sandbox.code.run = dies  # type: ignore[assignment,method-assign]
    with pytest.raises(SandboxDied):
        await stage.play([Reply([python("1"), UseTool("run_shell", {"command": "sleep 60"})])])


async def test_the_request_is_durable_before_it_is_made(stage: Stage):
    """When the reader sees model.requested, the provider has not been asked yet."""
    async with scripted_provider([DONE]) as server:
        model = stage.model(server, None)
        toolbox = Toolbox(stage.sandbox, TOOLS, FakeClock())
        assignment = Assignment(system="s", messages=(UserMessage(parts=(Text(text="go"),)),))
        async for event in run_loop(model, toolbox, Allows(), FakeClock(), assignment):
            if isinstance(event, ModelRequested):
                await asyncio.sleep(0.05)
                assert server.requests == []
        await model.close()
        assert len(server.requests) == 1


async def test_every_started_call_is_finished_even_when_ids_repeat(sandbox: LocalSandbox):
    """A model that uses one id twice gets two answers (Anthropic's rules refuse such a thing)."""
    talk = await Stage("openai", sandbox).play(
        [Reply([UseTool("list_files", {}, id="x"), UseTool("list_files", {}, id="x")]), DONE]
    )
    assert len(talk.only(ToolStarted)) == len(talk.only(ToolFinished)) == 2


def test_text_that_cannot_be_sent_is_replaced_before_it_is():
    """A lone surrogate in an answer would break the next request."""
    broken = AssistantMessage(parts=(Text(text="a\ud800b"), Text(text="\ud83d\ude00")))
    assert sendable(broken).text == "a\ufffdb\U0001f600"
    context = Context("system", (), (UserMessage(parts=(Text(text="hi"),)),))
    before = context.input_tokens
    context.add(sendable(broken))
    assert context.input_tokens > before
    assert json.loads(context.messages[-1].model_dump_json())


def test_the_prompt_names_the_files():
    """A model knows what the person gave without looking."""
    fact = FileFact(name="sales.csv", size=12, sha256="0" * 64)
    assert "/home/user/sales.csv (12 bytes)" in system_prompt([fact])


def test_a_model_is_told_which_machine_it_has():
    """What is in the usual one; of another only its template's name, and to look for itself."""
    usual, other = system_prompt(), system_prompt(template="tiny")
    assert "pandas" in usual
    assert "{machine}" not in usual + other
    assert "`tiny`" in other
    assert "pandas" not in other
