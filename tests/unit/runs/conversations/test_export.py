"""Exports: a file that other programs read, whatever a model or a guest wrote."""

import itertools
import json
from datetime import UTC, datetime

import pytest
from markdown_it import MarkdownIt

from forge.events import (
    AnyEvent,
    Caps,
    ModelResponded,
    Record,
    RunFinished,
    RunStarted,
    ToolDisplayed,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    Totals,
)
from forge.ids import ConversationId, MessageId, RunId, UserId
from forge.ledger.fold import RunView, fold
from forge.messages import AssistantMessage, Text, ToolCall
from forge.runs.conversations.export import as_json, as_markdown, as_notebook
from forge.runs.conversations.tree import Conversation, Message
from forge.usage import Usage

NOW = datetime(2030, 1, 1, tzinfo=UTC)
RUN = RunId("run_1")
TALK = Conversation(
    ConversationId("conv_1"), UserId("usr_1"), "# a\n<b>title", NOW, NOW, MessageId("msg_2"), None
)
SAID = (
    Message(MessageId("msg_1"), TALK.id, None, "user", NOW, "add 1 and 2", None),
    Message(MessageId("msg_2"), TALK.id, MessageId("msg_1"), "assistant", NOW, "", RUN),
)


def ran(arguments: str, *output: ToolOutput | ToolDisplayed, answer: str = "It is 3.") -> RunView:
    """A run with one tool call."""
    call = ToolCall(id="call_1", name="run_python", arguments=arguments)
    events: list[AnyEvent] = [
        RunStarted(prompt="add 1 and 2", model="a:b", template="base", caps=Caps()),
        ModelResponded(
            step=1,
            message=AssistantMessage(parts=(Text(text="Let me see."), call)),
            stop_reason="tool_use",
            usage=Usage(),
            usd=None,
            duration_ms=1,
        ),
        ToolStarted(step=1, call_id="call_1", name="run_python", arguments=arguments),
        *output,
        ToolFinished(
            step=1, call_id="call_1", name="run_python", outcome="ok", content="3", duration_ms=1
        ),
        RunFinished(status="done", answer=answer, totals=Totals()),
    ]
    return fold(
        Record(run_id=RUN, seq=number, at=NOW, event=event, prev="", hash="")
        for number, event in enumerate(events, 1)
    )


def printed(text: str) -> ToolOutput:
    return ToolOutput(step=1, call_id="call_1", stream="stdout", text=text)


def test_a_notebook_has_the_code_and_what_it_showed():
    """In order, as nbformat 4.5 has it: ids, sources, streams, MIME bundles."""
    figure = ToolDisplayed(
        step=1, call_id="call_1", data={"image/png": "aGk=", "application/json": '{"a": 1}'}
    )
    view = ran(json.dumps({"code": "print(1 + 2)"}), printed("3\n"), figure)
    book = json.loads(as_notebook(TALK, SAID, {RUN: view}))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert [cell["cell_type"] for cell in book["cells"]] == [
        "markdown",
        "markdown",
        "code",
        "markdown",
    ]
    assert len({cell["id"] for cell in book["cells"]}) == 4
    code = book["cells"][2]
    assert (code["source"], code["execution_count"]) == ("print(1 + 2)", 1)
    assert code["outputs"] == [
        {"output_type": "stream", "name": "stdout", "text": "3\n"},
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"image/png": "aGk=", "application/json": {"a": 1}},
        },
    ]


@pytest.mark.parametrize("escape", ["```\n# Forged\n```", "~~~\n", "`" * 50 + "\n# Forged"])
def test_what_ran_cannot_leave_its_block_in_markdown(escape: str):
    """Neither code nor output becomes a heading of the document."""
    view = ran(json.dumps({"code": escape}), printed(escape))
    text = as_markdown(TALK, SAID, {RUN: view})
    tokens = MarkdownIt().parse(text)
    fences = [token.content.strip("\n") for token in tokens if token.type == "fence"]
    assert fences == [escape.strip("\n"), escape.strip("\n")]
    headings = [
        inline.content
        for token, inline in itertools.pairwise(tokens)
        if token.type == "heading_open"
    ]
    assert headings == ["# a <b>title", "Asked", "Answered"]


def test_json_has_all_that_was_said_and_run():
    """And reads back."""
    kept = json.loads(as_json(TALK, SAID, {RUN: ran("{not json", printed("3\n"))}))
    assert [each["text"] for each in kept["messages"]] == ["add 1 and 2", "It is 3."]
    assert kept["messages"][1]["run"]["tools"][0]["arguments"] == "{not json"


@pytest.mark.parametrize("arguments", ["", "{", "[]", "null", '{"code": 3}', '{"kode": "x"}'])
def test_a_call_without_code_leaves_no_cell(arguments: str):
    """What a model wrote need not be what was asked of it."""
    book = json.loads(as_notebook(TALK, SAID, {RUN: ran(arguments)}))
    assert [cell["cell_type"] for cell in book["cells"]] == ["markdown"] * 3


def test_an_answer_without_its_run_is_what_was_kept_of_it():
    """The ledger of another computer, or a run that was lost."""
    said = (SAID[0], SAID[1]._replace(text="kept"))
    assert "kept" in as_markdown(TALK, said, {})
