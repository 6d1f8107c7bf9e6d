"""Models behind any OpenAI-compatible chat-completions URL, over the official SDK.

OpenAI, vLLM, llama.cpp, Ollama, OpenRouter and their like. Importing this file costs seconds (the
SDK), so wiring imports it only when it is chosen. The SDK's retries are off.
"""

from urllib.parse import urlsplit

import httpx2
from openai import AsyncOpenAI

from forge.models import endpoint
from forge.models.pydantic_bridge import BridgedModel, over_openai

BASE_URL = "https://api.openai.com/v1"
_NO_KEY = "none"
"""The SDK wants a key; a local server that needs none ignores this one."""


class OpenAIModel(BridgedModel):
    """A model of an OpenAI-compatible server.

    Args:
        model: the model's name as the server knows it.
        api_key: the key, sent as a bearer token; empty where the server needs none.
        base_url: the URL up to and with `/v1`.

    Raises:
        SettingsInvalid: `base_url` cannot be called.
    """

    def __init__(self, model: str, api_key: str, base_url: str = BASE_URL) -> None:
        client = AsyncOpenAI(
            api_key=api_key or _NO_KEY,
            base_url=endpoint.base_url(base_url),
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=endpoint.CONNECT_S),
        )
        compatible = urlsplit(base_url).hostname != urlsplit(BASE_URL).hostname
        inner = over_openai(client, model, compatible=compatible)
        super().__init__("openai", inner, client, secret=api_key)
