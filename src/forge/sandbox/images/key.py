"""Keys: the hash of everything that goes into a part, computed without making it.

Parts have their own keys, so a change remakes only what depends on it: the agent's source is in the
agent part's key alone, a package list in the root part's alone. What upstream serves under the same
package name is not in a key; a newer Debian point release reaches an image when it is next made
from nothing. Pure but for reading the guest's source; takes a few milliseconds.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import InputRefused
from forge.sandbox.images.recipe import Recipe

BUILDER = 1
"""Goes up whenever the builder makes something else from the same inputs."""

ARCHITECTURE = "amd64"
ROOT_KIND = "squashfs"
"""The read-only file system of the agent's and the template's root."""

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Plan:
    """The keys of an image and of its parts."""

    image: str
    kernel: str
    interpreter: str
    agent: str
    root: str


def read_script(name: str) -> str:
    """One of the scripts beside this file, which run inside the machine or its image."""
    return (_HERE / name).read_text(encoding="utf-8")


def guest_sources(guest_dir: Path) -> dict[str, bytes]:
    """The guest's source files by their path below `guest_dir`, in order.

    Raises:
        InputRefused: there are none.
    """
    found = {
        path.relative_to(guest_dir).as_posix(): path.read_bytes()
        for path in sorted(guest_dir.rglob("*"))
        if path.suffix in (".py", ".js")
    }
    if "init.py" not in found:
        raise InputRefused(f"{guest_dir} does not hold the guest's agent: init.py is missing")
    return found


def plan_image(recipe: Recipe, sources: Mapping[str, bytes]) -> Plan:
    """The keys of the image that this recipe and this guest make."""
    declared = recipe.declared
    start = read_script("start")
    kernel = _key("kernel", {"suite": declared.debian.suite, "init": read_script("init.sh")})
    interpreter = _key("interpreter", {"suite": declared.debian.suite})
    agent = _key("agent", {"interpreter": interpreter, "start": start, "guest": _digests(sources)})
    root = _key(
        "root",
        {
            "debian": declared.debian.model_dump(mode="json"),
            "python": declared.python.model_dump(mode="json"),
            "requirements": recipe.requirements,
            "environment": dict(declared.environment),
            "remove": declared.remove,
            "finish": read_script("finish.sh"),
        },
    )
    parts = {"kernel": kernel, "agent": agent, "root": root}
    run = {"preload": recipe.preload, "environment": dict(declared.environment)}
    image = _key("image", {"name": declared.name, "parts": parts, **run})
    return Plan(image=image, kernel=kernel, interpreter=interpreter, agent=agent, root=root)


def root_key(diff_ids: Sequence[str], finish: int) -> str:
    """The key of the root that an image's layers make, when finished this way."""
    return _key("root", {"layers": list(diff_ids), "finish": finish})


def template_image_key(plan: Plan, root: str, run: Mapping[str, Any]) -> str:
    """The key of a person's template on this kernel and agent. Its name is not in it: what is the
    same is warmed once, whatever it is called.
    """
    return _key("image", {"kernel": plan.kernel, "agent": plan.agent, "root": root, "run": run})


def _digests(sources: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in sources.items()}


def _key(kind: str, inputs: Mapping[str, Any]) -> str:
    whole = {
        "kind": kind,
        "builder": BUILDER,
        "architecture": ARCHITECTURE,
        "file_system": ROOT_KIND,
        **inputs,
    }
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
