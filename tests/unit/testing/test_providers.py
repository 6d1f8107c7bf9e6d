"""The scripted provider is as strict as the real ones, so what passes here is worth something."""

import httpx2
import pytest

from forge.testing.providers.script import Fail, Reply, Say, seal
from forge.testing.providers.server import scripted_provider, serve_provider

HELLO = {"role": "user", "content": "Hello"}
USE = {"type": "tool_use", "id": "a", "name": "t", "input": {}}
MARKED = {"cache_control": {"type": "ephemeral"}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "ok"}
CALL = {"id": "a", "type": "function", "function": {"name": "t", "arguments": "{}"}}


def anthropic(*messages, **more):
    return {"model": "m", "max_tokens": 9, "stream": True, "messages": list(messages), **more}


def openai(*messages, **more):
    return {"model": "m", "stream": True, "messages": list(messages), **more}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


async def ask(provider, path, body, key=None):
    headers = {"x-api-key": key or provider.key, "anthropic-version": "2026-10-21"}
    async with httpx2.AsyncClient(base_url=provider.anthropic_url, headers=headers) as client:
        return await client.post(path, json=body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"stream": True}, "model: Field required"),
        (anthropic(), "at least one message"),
        (anthropic(HELLO, stream=False), "only streams"),
        (anthropic(HELLO, max_tokens=0), "max_tokens"),
        (anthropic(HELLO, temperature=0.5), "temperature"),
        (anthropic(assistant({"type": "text", "text": "x"})), "first message"),
        (anthropic(HELLO, HELLO), "alternate"),
        (anthropic(HELLO, assistant({"type": "text", "text": "x"})), "prefill"),
        (anthropic(user({"type": "text", "text": " "})), "non-whitespace"),
        (anthropic(HELLO, assistant(USE), HELLO), "without `tool_result`"),
        (anthropic(HELLO, assistant({"type": "text", "text": "x"}), user(RESULT)), "unexpected"),
        (anthropic(HELLO, assistant(USE, USE), user(RESULT)), "unique"),
        (
            anthropic(HELLO, assistant(USE), user({"type": "text", "text": "x"}, RESULT)),
            "come first",
        ),
        (anthropic(HELLO, assistant({**USE, "input": "{"}), user(RESULT)), "valid dictionary"),
        (
            anthropic(
                HELLO,
                assistant({"type": "thinking", "thinking": "x", "signature": seal("y")}),
                HELLO,
            ),
            "Invalid `signature`",
        ),
        (
            anthropic(HELLO, assistant({"type": "redacted_thinking", "data": "x"}), HELLO),
            "redacted_thinking",
        ),
        (anthropic(HELLO, tools=[{"name": "a b", "input_schema": {"type": "object"}}]), "pattern"),
        (anthropic(HELLO, tools=[{"name": "a", "input_schema": {}}]), "'object'"),
        (anthropic(HELLO, tools=[{"name": "a", "input_schema": {"type": "object"}}] * 2), "unique"),
        (
            anthropic(user(*[{"type": "text", "text": "x", **MARKED}] * 5)),
            "maximum of 4",
        ),
    ],
)
async def test_anthropics_rules_are_kept(body, reason):
    """Each request that the real API answers 400 is answered 400 here, with the reason."""
    async with scripted_provider([Reply([Say("Hi.")])]) as provider:
        response = await ask(provider, "/v1/messages", body)
        assert response.status_code == 400
        assert reason in response.json()["error"]["message"]
        assert provider.refusals == [response.json()["error"]["message"]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"stream": True, "messages": [HELLO]}, "model"),
        (openai(), "messages"),
        (openai(HELLO, max_tokens=0), "max_completion_tokens"),
        (openai(HELLO, stream=False), "only streams"),
        (openai({"role": "robot", "content": "x"}), "robot"),
        (openai({"role": "user", "content": ""}), "null"),
        (openai({"role": "tool", "tool_call_id": "a", "content": "x"}), "preceding"),
        (openai(HELLO, {"role": "assistant", "tool_calls": [CALL]}), "responding to each"),
        (openai(HELLO, {"role": "assistant", "tool_calls": [CALL]}, HELLO), "responding to each"),
        (
            openai(
                HELLO,
                {
                    "role": "assistant",
                    "tool_calls": [{**CALL, "function": {"name": "t", "arguments": "{"}}],
                },
                {"role": "tool", "tool_call_id": "a", "content": "x"},
            ),
            "not a JSON object",
        ),
        (openai(HELLO, tools=[{"type": "function", "function": {"name": "a b"}}]), "tools[0]"),
    ],
)
async def test_openais_rules_are_kept(body, reason):
    """Each request that compatible servers answer 400 is answered 400 here, with the reason."""
    async with scripted_provider([Reply([Say("Hi.")])]) as provider:
        response = await ask(provider, "/v1/chat/completions", body)
        assert response.status_code == 400
        assert reason in response.json()["error"]["message"]


async def test_a_wrong_key_is_refused_and_takes_no_step():
    """The script is asked only for requests that the rules accept."""
    async with scripted_provider([Reply([Say("Hi.")])]) as provider:
        assert (await ask(provider, "/v1/messages", anthropic(HELLO), "wrong")).status_code == 401
        assert (await ask(provider, "/v1/messages", anthropic(HELLO))).status_code == 200


async def test_a_script_that_is_over_says_so():
    """A loop that asks once too often is told so, rather than answered."""
    async with scripted_provider([]) as provider:
        response = await ask(provider, "/v1/messages", anthropic(HELLO))
        assert "the script is over" in response.json()["error"]["message"]


def test_a_function_decides_from_the_request_and_plain_code_can_serve():
    """A script may look at what it was sent; the server needs no event loop of its caller's."""
    with serve_provider(lambda received: Fail(418, received.last_user_text)) as provider:
        headers = {"authorization": f"Bearer {provider.key}", "anthropic-version": "x"}
        url = f"{provider.anthropic_url}/v1/messages"
        response = httpx2.post(url, json=anthropic(HELLO), headers=headers)
    assert response.status_code == 418
    assert response.json()["error"]["message"] == "Hello"
