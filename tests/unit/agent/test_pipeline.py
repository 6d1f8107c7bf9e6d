"""Blocks that a model writes become calls, whatever else it writes; calls become words for it."""

import json
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.agent.pipeline import CUT_OFF, PREFIX, Fenced, Worded, fenced, in_words, read
from forge.events import StopReason
from forge.messages import (
    AssistantMessage,
    Message,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UserMessage,
)
from forge.models import fences
from forge.models.base import ModelEvent, ModelRequest, ModelResponse, TextDelta, ToolSpec
from forge.models.fences import Block
from forge.usage import Usage

ASKED = UserMessage(parts=(Text(text="go"),))


def request(*messages: Message) -> ModelRequest:
    tools = (ToolSpec("run_python", "", {"type": "object"}),)
    return ModelRequest("", messages or (ASKED,), tools, 100, 10)


def response(text: str, stop: StopReason = "end", *calls: ToolCall) -> ModelResponse:
    return ModelResponse(AssistantMessage(parts=(Text(text=text), *calls)), stop, Usage())


def call_of(text: str, stop: StopReason = "end") -> tuple[str, str] | None:
    """The tool and the code that are read from an answer."""
    calls = read(response(text, stop), request()).message.tool_calls
    if not calls:
        return None
    (call,) = calls
    if call.arguments == CUT_OFF:
        return call.name, CUT_OFF
    (code,) = json.loads(call.arguments).values()
    return call.name, code


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Let me see.\n```python\nprint(1)\n```\n", ("run_python", "print(1)\n")),
        ("```bash\nls\n```", ("run_shell", "ls\n")),
        ("```py\na\n```\nthen\n```python\nb\n```", ("run_python", "a\n")),
        ("```text\nx\n```\n```sh\nls\n```", ("run_shell", "ls\n")),
        ("- so:\n  ~~~python\n  a\n  ~~~", ("run_python", "a\n")),
        ("````python\nx = '''\n```\n'''\n````", ("run_python", "x = '''\n```\n'''\n")),
        ("It printed:\n```\n42\n```", None),
        ("```json\n{}\n```", None),
        ("```python\n\n```", None),
        ("The answer is 42.", None),
        ("", None),
        (
            "<think>```python\nbad()\n```</think>\n```python\ngood()\n```",
            ("run_python", "good()\n"),
        ),
        ("<think>```python\nbad()\n```</think>The answer is 42.", None),
        ("```python\nprint(1)", ("run_python", "print(1)")),
    ],
)
def test_the_first_block_that_says_what_it_is_is_run(text: str, call: tuple[str, str] | None):
    """Python and shell, once an answer; output, other languages and reasoning are not run."""
    assert call_of(text) == call


def test_a_block_that_was_cut_off_is_not_run():
    """Half a command can do what nobody meant; the model is told why nothing ran."""
    half = "```bash\nrm -rf /home/user/old"
    assert call_of(half, "max_tokens") == ("run_shell", CUT_OFF)
    assert call_of(half + "\n```", "max_tokens") == ("run_shell", "rm -rf /home/user/old\n")
    said = read(response(half, "max_tokens"), request()).message
    (call,) = said.tool_calls
    refused = ToolResult(call_id=call.id, name=call.name, content="no JSON", is_error=True)
    _, told = in_words((said, UserMessage(parts=(refused,))))
    (part,) = told.parts
    assert isinstance(part, Text)
    assert "cut off" in part.text
    assert "JSON" not in part.text


def test_an_answer_without_a_block_is_left_alone():
    """The end of the work, and a call that the model made after all, stay as they are."""
    done = response("Done.")
    assert read(done, request()) is done
    own = response(
        "```python\na\n```", "tool_use", ToolCall(id="1", name="run_shell", arguments="{}")
    )
    assert read(own, request()) is own


def test_ids_are_not_used_twice():
    """Providers refuse a transcript in which two calls share one."""
    messages: list[Message] = [ASKED]
    for _ in range(3):
        said = read(response("```python\n1\n```"), request(*messages)).message
        messages += [said, UserMessage(parts=(Text(text="on"),))]
    ids = [
        call.id
        for each in messages
        if isinstance(each, AssistantMessage)
        for call in each.tool_calls
    ]
    assert ids == [f"{PREFIX}{number}" for number in (1, 2, 3)]


@given(st.text(), st.sampled_from(["end", "max_tokens", "refusal"]))
def test_whatever_a_model_writes_is_read(text: str, stop: StopReason):
    """Any text gives at most one call, of a tool there is, and keeps the words."""
    said = read(response(text, stop), request())
    assert said.message.text == text
    assert len(said.message.tool_calls) <= 1
    assert all(call.name in ("run_python", "run_shell") for call in said.message.tool_calls)


@given(
    st.lists(
        st.sampled_from(
            ["```", "~~~", "python", "bash", "\n", " ", ">", "- ", "x", "`", "</think>"]
        ),
        max_size=60,
    )
)
def test_fences_of_any_shape_are_read(pieces: list[str]):
    """Nested, unclosed and mixed fences break nothing."""
    text = "".join(pieces)
    assert len(read(response(text), request()).message.tool_calls) <= 1
    assert len(read(response(text, "max_tokens"), request()).message.tool_calls) <= 1


@given(st.text(alphabet="`~x \n", min_size=1), st.sampled_from(["python", "shell"]))
def test_a_fence_holds_whatever_is_in_it(code: str, language: fences.Language):
    """Code that is put into words for a model is the code that it reads there."""
    block = Block(language, code.strip("\n") + "\n")
    if not block.code.strip():
        return
    found = fences.first(fenced(block))
    assert found is not None
    assert (found.language, found.code, found.closed) == (language, block.code, True)


def test_a_transcript_of_tools_is_told_in_words():
    """Another model's calls and results are words; its sealed reasoning is left out."""
    call = ToolCall(id="t1", name="run_shell", arguments='{"command": "ls"}')
    other = ToolCall(id="t2", name="read_file", arguments='{"path": "a"}')
    thought = Thinking(text="hm", signature="sealed", provider="anthropic")
    results = (
        ToolResult(call_id="t1", name="run_shell", content="a.txt"),
        ToolResult(call_id="t2", name="read_file", content="gone", is_error=True),
    )
    said, came = in_words(
        (AssistantMessage(parts=(thought, call, other)), UserMessage(parts=results))
    )
    assert isinstance(said, AssistantMessage)
    assert said.text == '```bash\nls\n```\n\n(It called read_file with {"path": "a"})'
    assert [part.kind for part in (*said.parts, *came.parts)] == ["text"] * 3
    texts = [part.text for part in came.parts if isinstance(part, Text)]
    assert texts[0].startswith("It ran.")
    assert texts[0].endswith("a.txt")
    assert texts[1].startswith("It failed.")


def test_a_block_that_stands_in_the_answer_is_not_told_twice():
    """The model sees its answer as it wrote it."""
    text = "So:\n```python\n1\n```"
    said = read(response(text), request()).message
    (told,) = in_words((said,))
    assert told.parts == (Text(text=text),)


class Says:
    """A model that says one thing, and remembers what it was told."""

    name, priced, uses_tools = "test:says", False, False

    def __init__(self, text: str) -> None:
        self.text, self.told, self.closed = text, list[ModelRequest](), False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.told.append(request)
        yield TextDelta(self.text)
        yield response(self.text)

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("kind", "calls"), [(Fenced, 1), (Worded, 0)])
async def test_a_model_is_told_of_no_tools(kind: type[Worded], calls: int):
    """Neither way offers tools; one reads blocks, and both are the model in name and price."""
    model = Says("```python\n1\n```")
    wrapped = kind(model)
    items = [item async for item in wrapped.stream(request())]
    assert items[0] == TextDelta(model.text)
    assert isinstance(items[-1], ModelResponse)
    assert len(items[-1].message.tool_calls) == calls
    assert model.told[0].tools == ()
    assert (wrapped.name, wrapped.priced, wrapped.uses_tools) == ("test:says", False, False)
    await wrapped.close()
    assert model.closed
