"""Which models use tools, by their names and by what their servers say."""

import pytest

from forge.models.capabilities import refuses_tools, uses_tools


@pytest.mark.parametrize(
    ("model", "uses"),
    [
        ("claude-sonnet-5-5", True),
        ("gpt-6.1-sol", True),
        ("qwen2.5-coder:7b", True),
        ("llama-3.3-70b", True),
        ("meta-llama/Llama-3.1-8B-Instruct", True),
        ("functiongemma", True),
        ("gemma3n", True),
        ("deepseek-chat", True),
        ("llama-20", True),
        ("deepseek-r1:7b", False),
        ("deepseek-ai/DeepSeek-R1", False),
        ("gemma3:4b", False),
        ("google/gemma-2-9b-it", False),
        ("codellama:13b", False),
        ("llama2", False),
        ("phi3:mini", False),
        ("o1-mini", False),
    ],
)
def test_a_name_tells_who_has_no_tools(model: str, uses: bool):
    """The families that are known to have none, wherever they are served; anyone else has."""
    assert uses_tools(model) is uses


@pytest.mark.parametrize(
    ("message", "refuses"),
    [
        ("registry.ollama.ai/library/gemma3:4b does not support tools", True),
        ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser', True),
        ("tools param requires --jinja flag", True),
        ("Function calling is not supported by this model.", True),
        ("messages: roles must alternate", False),
        ("tools.0.name: String should match pattern", False),
    ],
)
def test_a_refusal_tells_that_tools_are_the_reason(message: str, refuses: bool):
    """As Ollama, vLLM and llama.cpp word it; a refusal for another reason stays one."""
    assert refuses_tools(message) is refuses
