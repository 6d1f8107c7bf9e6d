"""A conversation as a file: JSON, Markdown, or a Jupyter notebook of the code that ran. Pure.

Each takes the branch in view and the runs of its answers, folded. A fence in Markdown is always
longer than any inside it, so that what a model or a guest wrote cannot end it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from forge.events import ToolDisplayed, ToolOutput
from forge.ids import RunId
from forge.ledger.fold import RunView, ToolView
from forge.runs.conversations.tree import Conversation, Message

Runs = Mapping[RunId, RunView]

LANGUAGES = {"run_python": ("code", "python"), "run_shell": ("command", "bash")}
"""The tools that run code: where it is in their arguments, and in which language."""


def as_json(conversation: Conversation, said: Iterable[Message], runs: Runs) -> str:
    """Everything that was said and run, for programs."""
    return json.dumps(
        {
            "format": "forge-conversation-1",
            "id": conversation.id,
            "title": conversation.title,
            "created_at": conversation.created_at.isoformat(),
            "messages": [_message(each, runs) for each in said],
        },
        ensure_ascii=False,
        indent=2,
    )


def _message(message: Message, runs: Runs) -> dict[str, Any]:
    run = runs.get(message.run_id) if message.run_id else None
    kept: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "created_at": message.created_at.isoformat(),
        "text": run.answer if run else message.text,
    }
    if run is not None:
        kept["run"] = {
            "id": run.id,
            "status": run.status,
            "model": run.started.model,
            "totals": run.totals().model_dump(mode="json"),
            "tools": [
                {
                    "name": tool.name,
                    "arguments": tool.arguments,
                    "outcome": tool.outcome,
                    "content": tool.content,
                }
                for step in run.steps
                for tool in step.tools
            ],
            "artifacts": [each.model_dump(exclude={"type"}) for each in run.artifacts],
        }
    return kept


def as_markdown(conversation: Conversation, said: Iterable[Message], runs: Runs) -> str:
    """What was said, with the code that ran and what it printed."""
    parts = [f"# {_one_line(conversation.title) or 'Conversation'}"]
    for message in said:
        run = runs.get(message.run_id) if message.run_id else None
        if message.role == "user":
            parts += ["## Asked", message.text]
            continue
        parts.append("## Answered")
        for tool in _tools(run):
            if (code := code_of(tool)) is not None:
                parts.append(_fenced(code[0], code[1]))
            if printed := printed_by(tool):
                parts.append(_fenced(printed, "text"))
        parts.append(run.answer if run else message.text)
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def as_notebook(conversation: Conversation, said: Iterable[Message], runs: Runs) -> str:
    """A notebook (nbformat 4.5) whose cells are the code that ran, with what it showed."""
    cells: list[dict[str, Any]] = [_words(f"# {_one_line(conversation.title) or 'Conversation'}")]
    for message in said:
        run = runs.get(message.run_id) if message.run_id else None
        if message.role == "user":
            cells.append(_words(message.text))
            continue
        cells += [_cell(tool, *code) for tool in _tools(run) if (code := code_of(tool))]
        cells.append(_words(run.answer if run else message.text))
    count = 0
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
            },
            "cells": cells,
        },
        ensure_ascii=False,
        indent=1,
    )


def code_of(tool: ToolView) -> tuple[str, str] | None:
    """The code that a tool call ran, and its language; None for other tools."""
    if tool.name not in LANGUAGES:
        return None
    field, language = LANGUAGES[tool.name]
    try:
        code = json.loads(tool.arguments).get(field)
    except (ValueError, AttributeError):
        return None
    return (code, language) if isinstance(code, str) else None


def printed_by(tool: ToolView) -> str:
    """All that a tool call printed."""
    return "".join(each.text for each in tool.output if isinstance(each, ToolOutput))


def _tools(run: RunView | None) -> list[ToolView]:
    return [] if run is None else [tool for step in run.steps for tool in step.tools]


def _words(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _cell(tool: ToolView, code: str, language: str) -> dict[str, Any]:
    source = code if language == "python" else f"%%bash\n{code}"
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source,
        "outputs": [_output(each) for each in tool.output],
    }


def _output(each: ToolOutput | ToolDisplayed) -> dict[str, Any]:
    if isinstance(each, ToolOutput):
        return {"output_type": "stream", "name": each.stream, "text": each.text}
    data = {
        kind: json.loads(value) if kind.endswith("json") and _is_json(value) else value
        for kind, value in each.data.items()
    }
    return {"output_type": "display_data", "metadata": {}, "data": data}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip(chr(10))}\n{fence}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
