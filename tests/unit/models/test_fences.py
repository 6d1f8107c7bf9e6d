"""The fenced code blocks of a message."""

from hypothesis import given
from hypothesis import strategies as st

from forge.models import fences
from forge.models.fences import Block


def test_blocks_are_found_in_order_with_what_runs_them():
    """Python and unlabelled blocks are Python; bash, sh and shell are shell; case is no matter."""
    text = (
        "first\n```python\na = 1\n```\nthen\n```Bash title=x\nls\n```\n~~~\nb = 2\n~~~\n"
        "```{.py}\nc\n```\n"
    )
    assert fences.read(text).runnable == (
        Block("python", "a = 1\n"),
        Block("shell", "ls\n"),
        Block("python", "b = 2\n"),
        Block("python", "c\n"),
    )


def test_other_languages_are_named_and_left_alone():
    """A JSON block is not run as Python."""
    blocks = fences.read("```json\n{}\n```\n```js\n1\n```\n")
    assert blocks.runnable == ()
    assert blocks.foreign == ("json", "js")


def test_a_longer_fence_holds_a_shorter_one():
    """Code that writes Markdown is not cut at its own fences."""
    assert fences.read('````python\nx = """\n```\n"""\n````').runnable == (
        Block("python", 'x = """\n```\n"""\n'),
    )


def test_an_unclosed_fence_runs_to_the_end():
    """A message that was cut, or typed in haste, is still run."""
    assert fences.read("```python\na\n\nb").runnable == (Block("python", "a\n\nb"),)


def test_a_block_in_a_list_loses_the_lists_indentation():
    """Blocks under list items are as common as any."""
    assert fences.read("- do:\n\n  ```python\n  if a:\n      b\n  ```\n").runnable == (
        Block("python", "if a:\n    b\n"),
    )


def test_blank_blocks_and_inline_code_are_nothing():
    """There is nothing in them to run."""
    assert fences.read("```python\n\n```\nuse `x` and ``` y ```").runnable == ()


@given(st.text(), st.sampled_from(["python", "sh"]))
def test_any_text_is_read_without_failing_and_a_block_after_it_too(text, label):
    """What a person pastes never breaks the reader."""
    fences.read(text)
    fences.read(f"{text}\n\n```{label}\n{text}\n```")
