"""The page of settings: read once, refused when misspelt, secret where secret."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from forge.budget.prices import PriceTable
from forge.errors import SettingsInvalid
from forge.settings import (
    DEFAULT_MODELS,
    Settings,
    choose_model,
    environment_of_children,
    names,
    read_settings,
)
from forge.usage import Usage

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in (*names(), "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_with_nothing_set_everything_has_its_default(tmp_path: Path):
    """No key, no home: the offline mode, below the person's own data folder."""
    settings = read_settings()
    assert settings.home == tmp_path / ".local/share/forge"
    assert choose_model(settings).name == "offline:none"
    assert (settings.caps.iterations, settings.caps.usd) == (16, 0)


def test_the_home_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """XDG_DATA_HOME moves it; a relative one is invalid there, and ignored."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert read_settings().home == tmp_path / "data/forge"
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert read_settings().home == tmp_path / ".local/share/forge"


def test_a_home_folder_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`~/x` is the person's own, as in their shell."""
    monkeypatch.setenv("FORGE_HOME", "~/elsewhere")
    assert read_settings().home == tmp_path / "elsewhere"


def test_a_misspelt_setting_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch):
    """A cap that silently does nothing would cost money."""
    monkeypatch.setenv("FORGE_MAX_ITERATION", "3")
    with pytest.raises(SettingsInvalid, match=r"FORGE_MAX_ITERATION; .* FORGE_MAX_ITERATIONS"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FORGE_MAX_ITERATIONS", "many"),
        ("FORGE_MAX_ITERATIONS", "-1"),
        ("FORGE_MAX_USD", "NaN"),
        ("FORGE_MAX_USD", "-0.01"),
        ("FORGE_MAX_WALL_S", "inf"),
        ("FORGE_MEMORY_MIB", "0"),
        ("FORGE_DISK_MIB", "0"),
        ("FORGE_PROCESSES", "0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    """The error says which setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=name):
        read_settings()


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch):
    """`FORGE_MAX_ITERATIONS= forge run` is the default, not an error."""
    for name in names():
        monkeypatch.setenv(name, "")
    assert read_settings().max_iterations == 16


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch):
    """Not in a repr, not in a dump, not in an error of another setting."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-hidden")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    settings = read_settings()
    assert "sk-hidden" not in repr(settings) + str(settings) + settings.model_dump_json()
    monkeypatch.setenv("FORGE_MAX_USD", "x")
    with pytest.raises(SettingsInvalid) as refused:
        read_settings()
    assert refused.value.__cause__ is None
    assert "sk-hidden" not in refused.value.message


@pytest.mark.parametrize(
    ("given", "provider", "because"),
    [
        ({}, "offline", "no model"),
        ({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "anthropic", "ANTHROPIC_API_KEY"),
        ({"OPENAI_API_KEY": "k"}, "openai", "OPENAI_API_KEY"),
        ({"OPENAI_BASE_URL": "http://localhost/v1"}, "openai", "OPENAI_BASE_URL"),
    ],
)
def test_auto_takes_the_first_provider_that_is_configured(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], provider: str, because: str
):
    """And says because of what."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    choice = choose_model(read_settings())
    assert (choice.provider, choice.model) == (provider, DEFAULT_MODELS[provider])
    assert because in choice.why


def test_a_named_model_goes_before_the_settings(monkeypatch: pytest.MonkeyPatch):
    """`--model` wins; a provider alone means its default; a model's own name may hold colons."""
    monkeypatch.setenv("FORGE_MODEL", "openai:one")
    settings = read_settings()
    assert choose_model(settings).name == "openai:one"
    assert choose_model(settings, "openai:two:free").model == "two:free"
    assert choose_model(settings, "anthropic").model == DEFAULT_MODELS["anthropic"]


@pytest.mark.parametrize("name", ["gpt", "claude-x", ":x", "openai:", ":"])
def test_a_name_that_is_no_model_is_refused(name: str):
    """It lacks a provider or a model; the hint shows one that has both."""
    with pytest.raises(SettingsInvalid) as refused:
        choose_model(read_settings(), name)
    assert "provider:model" in refused.value.hint


def test_a_workers_command_is_cut_into_words_as_a_shell_would(monkeypatch: pytest.MonkeyPatch):
    """Quotes hold words together, and nothing is expanded."""
    monkeypatch.setenv("FORGE_WORKER", "ssh -T 'me@the host' \"sh -c 'echo $HOME'\"")
    assert read_settings().worker_command == ("ssh", "-T", "me@the host", "sh -c 'echo $HOME'")


@pytest.mark.parametrize("command", ["", "  ", "ssh 'host"])
def test_a_workers_command_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, command: str):
    """By the name of the setting."""
    monkeypatch.setenv("FORGE_WORKER", command)
    with pytest.raises(SettingsInvalid, match="FORGE_WORKER"):
        _ = read_settings().worker_command


def test_a_child_is_told_no_key_and_no_worker(monkeypatch: pytest.MonkeyPatch):
    """Keys are not its business, and a worker must not look for a worker in its turn."""
    own = (
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "FORGE_SECRET_KEY",
        "FORGE_OIDC_CLIENT_SECRET",
        "FORGE_SUPABASE_JWT_SECRET",
        "FORGE_SANDBOX",
        "FORGE_WORKER",
    )
    for name in (*own, "FORGE_HOME"):
        monkeypatch.setenv(name, "x")
    environment = environment_of_children()
    assert not set(own) & set(environment)
    assert {"PATH", "FORGE_HOME"} <= set(environment)


@pytest.mark.parametrize("name", ["FORGE_OIDC_ISSUER", "FORGE_SUPABASE_URL"])
def test_a_provider_of_logins_far_away_is_asked_by_https_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    """Whoever is on the way could let anybody in; on this computer nobody is."""
    for url in ("https://login.example/realm", "http://127.0.0.1:9000", "http://localhost/x"):
        monkeypatch.setenv(name, url)
        assert read_settings().logins_elsewhere
    for url in (
        "http://login.example",
        "login.example",
        "https://",
        "ftp://x",
        "https://:a@login.example",
    ):
        monkeypatch.setenv(name, url)
        with pytest.raises(SettingsInvalid, match=name):
            read_settings()


def test_a_shared_secret_that_could_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch):
    """Whoever has one token could try words until one fits. What was given is not repeated."""
    monkeypatch.setenv("FORGE_SUPABASE_JWT_SECRET", "hunter2")
    with pytest.raises(SettingsInvalid, match="32 characters") as refusal:
        read_settings()
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_the_default_models_have_a_known_price(provider: str):
    """So that a USD cap works with nothing but a key set."""
    price = PriceTable(None).cost(
        f"{provider}:{DEFAULT_MODELS[provider]}", Usage(input_tokens=1000)
    )
    assert price is not None
    assert price > Decimal(0)


def test_every_setting_is_documented_with_its_default_and_its_zero():
    """docs/settings.md has one row for each, in the page's order, and no other."""
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \| (.+?) \|$", DOCS.read_text(), re.MULTILINE
    )
    assert tuple(row[0] for row in rows) == names()
    fields = list(Settings.model_fields.values())
    assert len(fields) <= 53
    for field, (_, sentence, default, zero) in zip(fields, rows, strict=True):
        assert sentence == field.description
        assert isinstance(field.json_schema_extra, dict)
        assert zero == field.json_schema_extra["zero"]
        if isinstance(field.default, int | Decimal) or field.default in ("auto", "qemu"):
            assert default == f"`{field.default}`"
