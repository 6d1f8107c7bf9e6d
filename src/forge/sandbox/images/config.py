"""What a template says of its machines beyond its root: sizes, what is started, what is loaded."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from forge.sandbox.images.recipe import Module


def _plain(text: str) -> str:
    if "\0" in text or len(text.encode("utf-8", "surrogatepass")) > 16384:
        raise ValueError("must be a shell command of at most 16 KiB, without NUL")
    return text


ShellCommand = Annotated[str, AfterValidator(_plain)]


class Warming(BaseModel):
    """What is run once, while a template is warmed, for the shell; empty: nothing. `start` stays
    alive in every machine; `ready` is asked until it succeeds, for `ready_deadline_s` seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: ShellCommand = ""
    ready: ShellCommand = ""
    ready_deadline_s: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 60.0
    as_root: bool = False


class Sizes(BaseModel):
    """How large machines of a template are, where nobody asks for more or less. Sizes are MiB."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_mib: Annotated[int, Field(ge=256, le=65536)] = 1024
    disk_mib: Annotated[int, Field(ge=64, le=65536)] = 1024
    processes: Annotated[int, Field(ge=16, le=32768)] = 256
    cpus: Annotated[int, Field(ge=1, le=256)] = 1


class TemplateConfig(BaseModel):
    """All of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: Sizes = Sizes()
    warming: Warming = Warming()
    preload: Annotated[tuple[Module, ...], Field(max_length=64)] = ()
