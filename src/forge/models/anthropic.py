"""Anthropic's models over the official SDK: streaming, tools, sealed thinking, prompt caching.

Importing this file costs seconds (the SDK), so wiring imports it only when it is chosen. The SDK's
retries are off. Nothing is read from the environment that decides where a request goes.
"""

import httpx2
from anthropic import AsyncAnthropic

from forge.models import endpoint
from forge.models.pydantic_bridge import BridgedModel, over_anthropic

BASE_URL = "https://api.anthropic.com"


class AnthropicModel(BridgedModel):
    """A Claude model.

    Args:
        model: the model's name, as `claude-…`.
        api_key: the key, sent as a bearer token.
        base_url: Anthropic's own, or a compatible gateway's.

    Raises:
        SettingsInvalid: `base_url` cannot be called.
    """

    def __init__(self, model: str, api_key: str, base_url: str = BASE_URL) -> None:
        client = AsyncAnthropic(
            api_key=api_key,
            base_url=endpoint.base_url(base_url),
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=endpoint.CONNECT_S),
        )
        super().__init__("anthropic", over_anthropic(client, model), client, secret=api_key)
