"""Every knob but the server's (see `server_settings`), read once, at the edge.

Settings come from environment variables and nowhere else. Each has a sentence, a default and a
meaning for zero; an empty value counts as not set. A `FORGE_` name that is not on this page is
refused with the nearest one that is, because a misspelt cap that silently does nothing is worse
than none. Keys are secrets: they are never shown, not even in an error. Nothing here is held open.
"""

import difflib
import os
import shlex
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from forge.errors import SettingsInvalid
from forge.events import Caps
from forge.server_settings import ServerSettings, setting

DEFAULT_MODELS: Mapping[str, str] = {
    "anthropic": "claude-sonnet-5-5",
    "openai": "gpt-6.1-sol",
    "offline": "none",
}
"""The model of each built-in provider where only the provider is named; each has a known price."""

_PREFIX = "FORGE_"


class ModelChoice(NamedTuple):
    """Which model is asked. `why` says, in words, who chose it."""

    provider: str
    model: str
    why: str

    @property
    def name(self) -> str:
        """`provider:model`."""
        return f"{self.provider}:{self.model}"


def _default_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification: a relative path is invalid and is ignored.
    return (Path(base) if Path(base).is_absolute() else _in_home(".local/share")) / "forge"


def _in_home(name: str) -> Path:
    try:
        return Path.home() / name
    except RuntimeError as error:
        raise SettingsInvalid(
            "There is no home folder to keep Forge's data in.",
            hint="Set FORGE_HOME to a folder of its own.",
        ) from error


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("there is no such home folder") from error


_Folder = Annotated[Path, AfterValidator(_absolute)]


class Settings(ServerSettings):
    """What a person may set. Made by `read_settings`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True, env_file=None
    )

    home: _Folder = setting(
        "FORGE_HOME",
        "The folder for everything Forge keeps: ledger, files, images, templates, logs.",
        "Empty: `$XDG_DATA_HOME/forge`, or `~/.local/share/forge`.",
        default_factory=_default_home,
    )
    database_url: SecretStr = setting(
        "FORGE_DATABASE_URL",
        "The PostgreSQL database to keep the ledger and all else in, as "
        "`postgresql://user:password@host:5432/name`; never shown.",
        "Empty: SQLite, in the file `forge.db` of `FORGE_HOME`.",
        default=SecretStr(""),
    )
    engine: Literal["dbos", "inline"] = setting(
        "FORGE_ENGINE",
        "What a server has runs carried out by: `dbos`, which keeps its orders in a database of "
        "its own, or `inline`, which keeps none.",
        "Empty: `dbos`. A run on the command line is always carried out by its own process.",
        default="dbos",
    )
    blobs_url: SecretStr = setting(
        "FORGE_BLOBS_URL",
        "The S3-compatible bucket to keep files in, as "
        "`s3://key:secret@bucket/prefix?endpoint=https://storage.example&region=name`; "
        "never shown.",
        "Empty: the folder `blobs` of `FORGE_HOME`.",
        default=SecretStr(""),
    )
    model: str = setting(
        "FORGE_MODEL",
        "The model to ask, as `provider:model`, a provider alone for its default model, or `auto`.",
        "Empty: `auto`, which takes `anthropic` if its key is set, else `openai` if its key or "
        "base URL is set, else `offline`.",
        default="auto",
    )
    small_model: str = setting(
        "FORGE_SMALL_MODEL",
        "The model that answers what takes words alone, and says where a message goes when the "
        "rules do not; named as in `FORGE_MODEL`.",
        "Empty: the run's own model.",
        default="",
    )
    route: Literal["auto", "chat", "agent", "pipeline"] = setting(
        "FORGE_ROUTE",
        "How runs answer: `chat` in words, `agent` with tools, `pipeline` with blocks that are run "
        "for a model without tools, or `auto`.",
        "Empty: `auto`, which decides for each message.",
        default="auto",
    )
    anthropic_api_key: SecretStr = setting(
        "ANTHROPIC_API_KEY",
        "The key for Anthropic's models; never shown or written anywhere.",
        "Empty: none, so the provider `anthropic` cannot be used.",
        default=SecretStr(""),
    )
    anthropic_base_url: str = setting(
        "ANTHROPIC_BASE_URL",
        "Where Anthropic's API is, or a compatible gateway.",
        "Empty: Anthropic's own address.",
        default="",
    )
    openai_api_key: SecretStr = setting(
        "OPENAI_API_KEY",
        "The key for OpenAI or an OpenAI-compatible server; never shown or written anywhere.",
        "Empty: none, as local servers need none.",
        default=SecretStr(""),
    )
    openai_base_url: str = setting(
        "OPENAI_BASE_URL",
        "Where an OpenAI-compatible API is, up to and with `/v1`.",
        "Empty: OpenAI's own address.",
        default="",
    )
    max_iterations: int = setting(
        "FORGE_MAX_ITERATIONS",
        "How many model calls one run may make.",
        "0: no limit.",
        default=16,
        ge=0,
    )
    max_tokens: int = setting(
        "FORGE_MAX_TOKENS",
        "How many tokens, in and out together, one run may use.",
        "0: no limit.",
        default=0,
        ge=0,
    )
    max_usd: Decimal = setting(
        "FORGE_MAX_USD",
        "What one run may cost in US dollars; a model without a known price is then refused.",
        "0: no limit.",
        default=Decimal(0),
        ge=0,
    )
    max_wall_s: float = setting(
        "FORGE_MAX_WALL_S",
        "After how many seconds one run may make no further model call.",
        "0: no limit.",
        default=0.0,
        ge=0,
        allow_inf_nan=False,
    )
    prices: _Folder | None = setting(
        "FORGE_PRICES",
        "A TOML or JSON file of prices that go before the public ones, for private models.",
        "Empty: only the public prices.",
        default=None,
    )
    sandbox: str = setting(
        "FORGE_SANDBOX",
        "Which provider makes the machines: `qemu`, `firecracker`, `libkrun`, `worker` or "
        "a plug-in's.",
        "Empty: `qemu`.",
        default="qemu",
    )
    worker: str = setting(
        "FORGE_WORKER",
        "The command that leads to a worker, where `FORGE_SANDBOX` is `worker`; quoted as in a "
        "shell, which does not run it.",
        "Empty: none, so the provider `worker` cannot be used.",
        default="",
    )
    template: str = setting(
        "FORGE_TEMPLATE",
        "What machines are made from: the name of a template, or of a snapshot.",
        "Empty: `base`, the template that comes with Forge.",
        default="base",
    )
    memory_mib: int = setting(
        "FORGE_MEMORY_MIB",
        "The memory of a machine, in MiB.",
        "0: refused; a machine needs at least 256.",
        default=1024,
        ge=256,
        le=65536,
    )
    disk_mib: int = setting(
        "FORGE_DISK_MIB",
        "How much a machine may write to its disk, in MiB.",
        "0: refused; a machine needs at least 64.",
        default=1024,
        ge=64,
        le=65536,
    )
    processes: int = setting(
        "FORGE_PROCESSES",
        "How many processes and threads may live in a machine at once.",
        "0: refused; a machine needs at least 16.",
        default=256,
        ge=16,
        le=32768,
    )
    cpus: int = setting(
        "FORGE_CPUS",
        "How many processors a machine has; at most as many as this host.",
        "0: refused; a machine needs at least 1.",
        default=1,
        ge=1,
        le=256,
    )
    cpu_percent: int = setting(
        "FORGE_CPU_PERCENT",
        "How much processor time a machine may take, in percent of one processor; at least 5.",
        "0: no limit.",
        default=0,
        ge=0,
        le=25600,
    )
    disk_mib_s: int = setting(
        "FORGE_DISK_MIB_S",
        "How much a machine may read from and write to its disks per second, in MiB.",
        "0: no limit.",
        default=0,
        ge=0,
        le=65536,
    )

    @property
    def worker_command(self) -> tuple[str, ...]:
        """The words of the worker's command.

        Raises:
            SettingsInvalid: there is none, or its quotes are not closed.
        """
        try:
            words = tuple(shlex.split(self.worker))
        except ValueError as error:
            raise SettingsInvalid(f"FORGE_WORKER cannot be used: {error}.") from error
        if not words:
            raise SettingsInvalid(
                "FORGE_SANDBOX is `worker`, and FORGE_WORKER, the command to one, is not set.",
                hint="Set it, for example to `ssh -T host forge microvm serve`; docs/worker.md "
                "has more examples.",
            )
        return words

    pool: int = setting(
        "FORGE_POOL",
        "How many machines of each kind a worker keeps warm, ready in milliseconds.",
        "0: none; every machine is made when it is asked for.",
        default=0,
        ge=0,
        le=256,
    )
    pool_mib: int = setting(
        "FORGE_POOL_MIB",
        "How much of this host's memory all warm machines together may take, in MiB.",
        "0: none, as with `FORGE_POOL=0`.",
        default=1024,
        ge=0,
    )

    @property
    def caps(self) -> Caps:
        """The caps of a run that names none of its own."""
        return Caps(
            iterations=self.max_iterations,
            tokens=self.max_tokens,
            usd=self.max_usd,
            wall_s=self.max_wall_s,
        )


def names() -> tuple[str, ...]:
    """The name of every setting, in the page's order."""
    return tuple(str(field.validation_alias) for field in Settings.model_fields.values())


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The values that are never to be shown, word for word."""
    values = [getattr(settings, name) for name in type(settings).model_fields]
    secret = [each.get_secret_value() for each in values if isinstance(each, SecretStr)]
    return tuple(part for each in secret for part in (each, *each.split(",")) if part)


def read_settings() -> Settings:
    """Read the environment, once.

    Raises:
        SettingsInvalid: a `FORGE_` name is unknown, or a value cannot be used.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = str(fault["loc"][0])
        raise SettingsInvalid(f"{name} cannot be used: {_reason(fault['msg'])}.") from None


def environment_of_children() -> dict[str, str]:
    """What a program that Forge starts is given of the environment. Keys are none of its business;
    and a worker that this very computer is must not look for one in its turn.
    """
    own = {
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "FORGE_DATABASE_URL",
        "FORGE_BLOBS_URL",
        "FORGE_API_KEY",
        "FORGE_SECRET_KEY",
        "FORGE_OIDC_CLIENT_SECRET",
        "FORGE_SUPABASE_JWT_SECRET",
        "FORGE_SANDBOX",
        "FORGE_WORKER",
    }
    return {name: value for name, value in os.environ.items() if name not in own}


def _reason(message: str) -> str:
    return (
        message.removeprefix("Value error, ")[:1].lower()
        + message.removeprefix("Value error, ")[1:]
    )


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = names()
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SettingsInvalid(
                f"There is no setting {name}; the nearest there is is {nearest[0]}.",
                hint=f"Rename or unset {name}; docs/settings.md lists every setting.",
            )


def choose_model(settings: Settings, name: str = "", where: str = "--model") -> ModelChoice:
    """Which model to ask: the one named (as `FORGE_MODEL` names it), else the settings' own.
    `where` is where it was named.

    Raises:
        SettingsInvalid: the name has no provider, or the provider has no default model.
    """
    wanted, where = (name, where) if name else (settings.model, "FORGE_MODEL")
    if wanted == "auto":
        return _automatic(settings)
    provider, colon, model = wanted.partition(":")
    if provider and model:
        return ModelChoice(provider, model, f"chosen by {where}")
    if not colon and provider in DEFAULT_MODELS:
        return ModelChoice(provider, DEFAULT_MODELS[provider], f"{provider}'s default")
    raise SettingsInvalid(
        f"{where} is {wanted[:80]!r}, which is not the name of a model.",
        hint="Name a model as provider:model, for example "
        f"anthropic:{DEFAULT_MODELS['anthropic']}, or use auto.",
    )


def _automatic(settings: Settings) -> ModelChoice:
    for provider, given, because in (
        ("anthropic", settings.anthropic_api_key.get_secret_value(), "ANTHROPIC_API_KEY"),
        ("openai", settings.openai_api_key.get_secret_value(), "OPENAI_API_KEY"),
        ("openai", settings.openai_base_url, "OPENAI_BASE_URL"),
    ):
        if given:
            why = f"the default, as {because} is set and FORGE_MODEL is not"
            return ModelChoice(provider, DEFAULT_MODELS[provider], why)
    return ModelChoice("offline", DEFAULT_MODELS["offline"], "as no model is configured")
