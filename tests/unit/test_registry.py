"""Names to things: built in or from a real installed package, and answered well when unknown."""

import sys
from pathlib import Path

import pytest

from forge import registry
from forge.errors import NameUnknown
from forge.models.offline import OfflineModel


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, entries: str) -> None:
    """A package with entry points, as an installer lays it out."""
    (folder / "forge_plugin.py").write_text("def make(model):\n    return f'made {model}'\n")
    facts = folder / "forge_plugin-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: forge-plugin\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[forge.models]\n{entries}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_a_built_in_name_is_loaded_late():
    """The table holds words; the module is imported when it is asked for."""
    assert registry.MODELS.load("offline") is OfflineModel


@pytest.mark.parametrize("table", [registry.MODELS, registry.SANDBOXES])
def test_every_built_in_name_leads_somewhere(table: registry.Table):
    """No dotted path is stale."""
    for name in table.built_in:
        assert callable(table.load(name))


def test_a_package_adds_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An entry point in the table's group is all it takes."""
    install(tmp_path, monkeypatch, "mine = forge_plugin:make")
    assert "mine" in registry.MODELS.names()
    assert registry.MODELS.load("mine")("x") == "made x"
    del sys.modules["forge_plugin"]


def test_a_package_cannot_take_over_a_built_in_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is chosen by `offline` stays Forge's own."""
    install(tmp_path, monkeypatch, "offline = forge_plugin:make")
    assert registry.MODELS.load("offline") is OfflineModel
    assert registry.MODELS.names().count("offline") == 1


def test_an_unknown_name_answers_with_the_known_ones():
    """And says in which group a package would add it."""
    with pytest.raises(NameUnknown, match="anthropic, openai, offline") as unknown:
        registry.MODELS.load("gemini")
    assert "forge.models" in unknown.value.hint


def test_a_broken_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A plug-in that cannot be imported is an error in words, with what to mend."""
    install(tmp_path, monkeypatch, "broken = forge_plugin:absent")
    with pytest.raises(NameUnknown, match="cannot be loaded") as broken:
        registry.MODELS.load("broken")
    assert "forge_plugin:absent" in broken.value.hint
    sys.modules.pop("forge_plugin", None)
