"""Every model of ours keeps the contract of `forge.models.base.Model`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from forge.messages import Text, UserMessage
from forge.models.anthropic import AnthropicModel
from forge.models.offline import OfflineModel
from forge.models.openai import OpenAIModel
from forge.testing import model_conformance
from forge.testing.providers.script import Reply, Say, Script, Think, UseTool
from forge.testing.providers.server import scripted_provider


@asynccontextmanager
async def anthropic(script: Script) -> AsyncIterator[model_conformance.Opened]:
    async with scripted_provider(script) as provider:
        model = AnthropicModel("claude-test", provider.key, provider.anthropic_url)
        try:
            yield model_conformance.Opened(model, provider)
        finally:
            await model.close()


@asynccontextmanager
async def openai(script: Script) -> AsyncIterator[model_conformance.Opened]:
    async with scripted_provider(script) as provider:
        model = OpenAIModel("gpt-test", provider.key, provider.openai_url)
        try:
            yield model_conformance.Opened(model, provider)
        finally:
            await model.close()


def named(check: object) -> str:
    return getattr(check, "__name__", str(check))


@pytest.mark.parametrize("check", model_conformance.SCRIPTED_MODEL, ids=named)
@pytest.mark.parametrize("scripted", [anthropic, openai], ids=named)
async def test_a_providers_model_keeps_the_contract(scripted, check):
    """Against a provider that behaves and misbehaves, each point of the contract holds."""
    await check(scripted)


@pytest.mark.parametrize("check", model_conformance.ANY_MODEL, ids=named)
@pytest.mark.parametrize("scripted", [anthropic, openai], ids=named)
async def test_a_providers_model_is_a_model(scripted, check):
    """What holds for any model holds for one that calls a provider."""
    answer = Reply([Think("Hm."), Say("Hello there."), UseTool("run_python", {"code": "1"})])
    async with scripted(lambda _: answer) as opened:
        await check(opened.model, model_conformance.request())


@pytest.mark.parametrize("check", model_conformance.ANY_MODEL, ids=named)
@pytest.mark.parametrize("words", ["Hello", "```\nprint(1)\n```"])
async def test_the_offline_mode_is_a_model(check, words):
    """What holds for any model holds for the one that is none."""
    asked = model_conformance.request(UserMessage(parts=(Text(text=words),)))
    await check(OfflineModel(), asked)
