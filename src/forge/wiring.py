"""The one place where concrete things meet.

    settings ─► ledger, files ─┐
             ─► images ─► sandbox provider ─┼─► RunDriver ─► RunService
             ─► model, prices ─┘

Everything else takes its collaborators as arguments. Whoever opens here holds a block: leaving it
stops the machines, closes the model's connections and the database, in that order. Opening also
tidies up what a crash left: machines without an owner go, runs without one are closed.

Providers are loaded by name, late: choosing one never pays for importing another.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from forge import registry
from forge.budget.prices import PriceTable
from forge.clock import SystemClock
from forge.errors import ImageMissing, InputRefused, SettingsInvalid
from forge.keeping import make_home, open_blobs, open_database
from forge.ledger.append import LedgerWriter
from forge.ledger.read import LedgerReader
from forge.models.base import Model
from forge.runs.driver import RunDriver
from forge.runs.engine.inline import open_inline
from forge.runs.machines import ConversationMachines, open_machines_of
from forge.runs.measured import RunMeasures
from forge.runs.orders import Orders
from forge.runs.owner import this_process
from forge.runs.routing import is_offline
from forge.runs.service import OpenEngine, Recovered, RunService, open_runs
from forge.runs.watching import watched_by
from forge.runs.workers import Workers, working
from forge.sandbox.base import Limits, Probe, SandboxProvider, SandboxSpec
from forge.sandbox.images import build as building
from forge.sandbox.images.stock import Images
from forge.sandbox.pool import PoolPlan
from forge.sandbox.pooled import PooledProvider, open_pooled
from forge.sandbox.volumes import VolumeStore
from forge.settings import (
    DEFAULT_MODELS,
    ModelChoice,
    Settings,
    choose_model,
    environment_of_children,
)
from forge.store.blobs import BlobStore
from forge.store.database import Database
from forge.tasks import together
from forge.telemetry import open_spans

TEMPLATE = "base"
"""The template that comes with Forge, on whose kernel and agent all others run."""

_SIZES = ("memory_mib", "disk_mib", "processes", "cpus")

SLOW_S = 0.5
"""A probe that takes longer is not read from its cache: it boots guests, and a person is told."""

Notify = Callable[[str], None]
Show = Callable[[], AbstractContextManager[building.Tell]]
"""A block in which a build is shown; it gives what is told how the build goes on."""


def spec_of(images: Images, name: str, **wanted: int) -> SandboxSpec:
    """A machine of this template: its own sizes, but for those that are `wanted` (the fields of
    `Limits`).

    Raises:
        NameUnknown, ImageMissing: as in `Images.find`.
    """
    return SandboxSpec(name, Limits(**(images.find(name).sizes.model_dump() | wanted)))


@dataclass(frozen=True, slots=True)
class Machines:
    """Where machines come from. `images` is None where a worker keeps its own."""

    provider: SandboxProvider
    images: Images | None
    settings: Settings
    notify: Notify

    async def spec(self, template: str = "") -> SandboxSpec:
        """What a machine of a template is like; without a name, of the settings' own. Sizes that
        are not set are the template's, where it is here and built, else the settings' defaults.

        Raises:
            NameUnknown: there is neither a template nor a snapshot of this name.
        """
        name, said = template or self.settings.template, self.settings
        rates = {"cpu_percent": said.cpu_percent, "disk_mib_s": said.disk_mib_s}
        if self.images is not None and self.images.has(name):
            sizes = {each: getattr(said, each) for each in _SIZES if each in said.model_fields_set}
            with suppress(ImageMissing):  # a provider that needs one says so itself
                return spec_of(self.images, name, **sizes, **rates)
        elif self.images is not None and name not in {
            each.name for each in await self.provider.snapshots()
        }:
            self.images.find(name)
        return SandboxSpec(name, Limits(**{each: getattr(said, each) for each in _SIZES}, **rates))

    def warm(self) -> dict[str, int] | None:
        """How many machines are warm, by template; None where none are kept."""
        provider = self.provider
        return provider.pool.counts() if isinstance(provider, PooledProvider) else None

    async def prepare(self, show: Show) -> Probe:
        """See to it that machines can be made: the image is built where it is missing, inside
        `show`, then the host is probed. Either takes long only once.

        Raises:
            ProgramMissing, NoSpace, ImageBuildFailed: the image could not be built.
            ImageMissing: a worker has none; it is built there, not from here.
        """
        try:
            return await self._probe()
        except ImageMissing:
            if self.images is None:
                raise
            self.notify(
                "The machine's image is missing or out of date. Building it now, once: from "
                "nothing that fetches about 170 MB from Debian and PyPI and takes 2 to 5 minutes."
            )
        with show() as tell:
            await self.images.build(TEMPLATE, tell)
        return await self._probe()

    async def _probe(self) -> Probe:
        async def say_if_slow() -> None:
            await asyncio.sleep(SLOW_S)
            self.notify(
                "Finding out how machines run here, once: a real guest is booted on each "
                "accelerator (5 to 70 seconds)."
            )

        async with together() as tasks:
            saying = tasks.create_task(say_if_slow())
            verdict = await self.provider.probe()
            saying.cancel()
        return verdict


@dataclass(frozen=True, slots=True)
class Forge:
    """Everything a floor above needs. `kept` says where the bytes of a digest (SHA-256 in hex) are,
    or would be; `talks` are the machines that conversations keep.
    """

    settings: Settings
    model: ModelChoice
    service: RunService
    machines: Machines
    talks: ConversationMachines
    blobs: BlobStore
    database: Database
    measures: RunMeasures = field(default_factory=RunMeasures)

    @property
    def kept(self) -> Callable[[str], Path]:
        """Where the bytes of a digest are, or would be."""
        return self.blobs.path


@asynccontextmanager
async def open_machines(
    settings: Settings, notify: Notify, *, warm: bool = False
) -> AsyncIterator[Machines]:
    """Machines alone, without a ledger.

    Args:
        settings: the settings.
        notify: told, in words, of what takes long and of what was tidied up.
        warm: keep some ready as the settings say; for whoever goes on making machines.

    Raises:
        NameUnknown: there is no such sandbox provider.
        HostUnfit, NoSpace: the home folder cannot be made.
    """
    make_home(settings.home)
    images = Images(settings.home)
    async with _provider(settings, images, notify) as provider:
        if reaped := await provider.reap():
            notify(f"Removed {_count(reaped, 'machine')} that a crash left behind.")
        own = None if settings.sandbox == "worker" else images
        if not (warm and settings.pool and settings.sandbox == "qemu"):
            yield Machines(provider, own, settings, notify)
            return
        plan = PoolPlan(settings.pool, settings.pool_mib)
        async with open_pooled(provider, plan, SystemClock()) as pooled:
            yield Machines(pooled, own, settings, notify)


def _provider(
    settings: Settings, images: Images, notify: Notify
) -> AbstractAsyncContextManager[SandboxProvider]:
    open_provider = registry.SANDBOXES.load(settings.sandbox)
    if settings.sandbox == "worker":
        opened = open_provider(settings.worker_command, environment_of_children(), notify)
    else:
        opened = open_provider(settings.home, images.find, notify)
    return cast("AbstractAsyncContextManager[SandboxProvider]", opened)


@asynccontextmanager
async def open_forge(
    settings: Settings, notify: Notify, choice: ModelChoice, *, serving: bool = False
) -> AsyncIterator[Forge]:
    """Everything, ready for runs.

    Args:
        settings: the settings.
        notify: told, in words, of what takes long and of what was tidied up.
        choice: the model that runs ask.
        serving: this process goes on: machines are kept warm as the settings say, and runs
            outlive it; those that a server left, now or later, are taken up again.

    Raises:
        NameUnknown: there is no such model or sandbox provider.
        SettingsInvalid: the model's key, its base URL or the price file cannot be used.
        HostUnfit, NoSpace, LedgerError: the home folder or the ledger cannot be used.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        prices = PriceTable(settings.prices)
        models = await stack.enter_async_context(open_models(settings, choice))
        make_home(settings.home)
        database = await stack.enter_async_context(open_database(settings))
        machines = await stack.enter_async_context(open_machines(settings, notify, warm=serving))
        blobs = open_blobs(settings)
        kept = await stack.enter_async_context(open_machines_of(machines.provider))
        spans, measures = await stack.enter_async_context(open_spans(settings)), RunMeasures()
        workers, owner = Workers(database, clock), this_process()
        if serving:
            owner = await stack.enter_async_context(working(workers))
        driver = RunDriver(
            machines=kept,
            model_of=models.of,
            ledger=LedgerWriter(database, clock),
            reader=LedgerReader(database),
            blobs=blobs,
            prices=prices,
            clock=clock,
            owner=owner,
            route=settings.route,
            small_model=models.small(settings.small_model),
            watch=watched_by(measures.watch, spans),
        )
        engine = _engine(settings, owner, workers) if serving else open_inline
        service = await stack.enter_async_context(
            open_runs(driver, Orders(database, clock), engine, workers.alive)
        )
        _tell_recovered(await service.recover(resume=serving), notify)
        if serving:
            tasks = await stack.enter_async_context(together())
            stack.callback(tasks.create_task(service.keep_recovering()).cancel)
        yield Forge(settings, choice, service, machines, kept, blobs, database, measures)


def open_volumes(settings: Settings) -> VolumeStore:
    """The volumes there are. It holds nothing open.

    Raises:
        HostUnfit: the home folder cannot be made.
    """
    make_home(settings.home)
    return VolumeStore(settings.home)


def history_only() -> ModelChoice:
    """The choice of whoever only looks at runs: a model that is free to load and calls nobody."""
    return ModelChoice("offline", DEFAULT_MODELS["offline"], "as nothing is asked")


class Models:
    """The models that runs ask, each made and connected when it is first named."""

    def __init__(self, settings: Settings, usual: Model, choice: ModelChoice) -> None:
        self._settings, self._usual = settings, usual
        self._made = {"": usual, choice.name: usual, usual.name: usual}

    def of(self, name: str) -> Model:
        """The model of this name, as `provider:model`; the usual one for none.

        Raises:
            NameUnknown, SettingsInvalid: as in `make_model`.
        """
        if name not in self._made:
            choice = choose_model(self._settings, name)
            self._made[name] = make_model(self._settings, choice)
        return self._made[name]

    def small(self, name: str) -> str:
        """The whole name of the small model, made now so that what is wrong with it shows at once;
        empty where none is named, or where the usual model is the offline mode.

        Raises:
            NameUnknown, SettingsInvalid: as in `make_model`.
        """
        if not name or is_offline(self._usual):
            return ""
        choice = choose_model(self._settings, name, where="FORGE_SMALL_MODEL")
        return self.of(choice.name).name

    async def close(self) -> None:
        """Free their connections."""
        for model in {id(model): model for model in self._made.values()}.values():
            await model.close()


@asynccontextmanager
async def open_models(settings: Settings, choice: ModelChoice) -> AsyncIterator[Models]:
    """Models until the block is left.

    Raises:
        NameUnknown, SettingsInvalid: as in `make_model`.
    """
    models = Models(settings, make_model(settings, choice), choice)
    try:
        yield models
    finally:
        await models.close()


def make_model(settings: Settings, choice: ModelChoice) -> Model:
    """The model that was chosen, not connected yet.

    Raises:
        NameUnknown: there is no such provider.
        SettingsInvalid: its key is not set, or its base URL cannot be called.
    """
    make = registry.MODELS.load(choice.provider)
    match choice.provider:
        case "anthropic":
            key = settings.anthropic_api_key.get_secret_value()
            if not key:
                raise _key_missing("ANTHROPIC_API_KEY", choice)
            model = make(choice.model, key, **_at(settings.anthropic_base_url))
        case "openai":
            key = settings.openai_api_key.get_secret_value()
            if not key and not settings.openai_base_url:
                raise _key_missing("OPENAI_API_KEY", choice)
            model = make(choice.model, key, **_at(settings.openai_base_url))
        case "offline":
            if choice.model != DEFAULT_MODELS["offline"]:
                raise InputRefused(
                    f"{choice.name} is not a model: the offline mode has none.",
                    hint="Write `offline`, or name another provider's model.",
                )
            model = make()
        case _:
            model = make(choice.model)
    return cast("Model", model)


def _at(base_url: str) -> dict[str, str]:
    """A base URL as an argument, left out where it is the provider's own."""
    return {"base_url": base_url} if base_url else {}


def _key_missing(name: str, choice: ModelChoice) -> SettingsInvalid:
    return SettingsInvalid(
        f"{choice.name} needs a key, and {name} is not set.",
        hint=f"Set {name}, or choose another model with --model (`--model offline` needs no key).",
    )


def _engine(settings: Settings, owner: str, workers: Workers) -> OpenEngine:
    """What a server has runs carried out by; DBOS is loaded only where it is."""
    if settings.engine == "inline":
        return open_inline
    from forge.runs.engine.dbos import open_dbos

    where = settings.database_url.get_secret_value() or settings.home / "engine.db"
    return partial(open_dbos, executor=owner, where=where, alive=workers.alive)


def _tell_recovered(found: Recovered, notify: Notify) -> None:
    for runs, what in ((found.closed, "Closed"), (found.resumed, "Took up again")):
        if runs:
            notify(f"{what} {_count(len(runs), 'run')} that a crash left open: {', '.join(runs)}.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
