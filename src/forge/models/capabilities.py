"""What a model can do, as far as its name tells, and as its server says when it is asked. Pure.

A server that is asked for tools it cannot give says so in a refusal; a name is only the quicker way
to know. A model that is not known here is taken to use tools, as nearly all do by now.
"""

import re

_WITHOUT = re.compile(
    r"(?:^|/)(?:deepseek-r1(?!-0528-?tool)|deepseek-coder|code-?gemma|gemma-?[123]?(?![0-9n])|"
    r"code-?llama|llama-?2(?![0-9])|phi-?[123](?![0-9])|vicuna|wizard|starcoder|stable-?code|"
    r"o1-(?:mini|preview))",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    # Ollama's words, then vLLM's and llama.cpp's.
    r"does not support (?:tools|function|tool)|tool choice requires|tools param requires|"
    r"(?:tools|functions?|function calling|tool use) (?:is|are) not supported",
    re.IGNORECASE,
)


def uses_tools(model: str) -> bool:
    """Whether a model of this name, as its server knows it, calls tools by itself."""
    return _WITHOUT.search(model) is None


def refuses_tools(message: str) -> bool:
    """Whether a refused request was refused because tools came with it."""
    return _REFUSAL.search(message) is not None
