"""`forge template build`: what is refused before anything is built."""

import os
from pathlib import Path

import pytest

from forge.cli.template import order
from forge.errors import InputRefused


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("Tiny", {}, "'Tiny' cannot be the name of a template"),
        ("tiny", {"preload": ["a b"]}, "--preload cannot be used: “a b” is not the name"),
        ("tiny", {"sizes": {"memory_mib": 1}}, "--memory-mib cannot be used"),
        ("tiny", {"sizes": {"cpus": (os.cpu_count() or 1) + 1}}, "cpus is from 1 to"),
    ],
)
def test_what_no_template_can_be_is_refused_at_once(
    tmp_path: Path, name: str, config: dict[str, object], words: str
):
    """The option is named, in our words, and the host's processors are the limit."""
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    with pytest.raises(InputRefused) as caught:
        order(name, str(tmp_path), config, network=False)
    assert words in caught.value.message
