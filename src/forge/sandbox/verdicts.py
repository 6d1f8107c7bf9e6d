"""What a provider found out about this host, kept until something that it depends on changes.

A verdict is kept per VMM version, image, processor, kernel and boot of the host, and only where a
guest booted: a host where nothing boots is asked again, as it may have been mended.
"""

import hashlib
import json
import platform
from dataclasses import asdict
from pathlib import Path

from forge.sandbox import records
from forge.sandbox.base import Attempt, Probe
from forge.sandbox.images.store import Image


def host_cpu() -> list[str]:
    """What this host's processor says of itself: its model and its flags."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return [line for line in lines if line.startswith(("flags", "model name"))][:2]


def cache_key(version: str, image: Image) -> str:
    """Everything a verdict depends on."""
    parts = [version, image.key, platform.release(), records.boot_id(), *host_cpu()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def keep(cache: Path, key: str, verdict: Probe) -> None:
    """Keep a verdict, if a guest booted.

    Raises:
        OSError: the host cannot write it.
    """
    if verdict.accelerator is None:
        return
    temporary = cache.with_suffix(".tmp")
    temporary.write_text(json.dumps({"key": key, "probe": asdict(verdict)}))
    temporary.replace(cache)


def recall(cache: Path, key: str) -> Probe | None:
    """The verdict that was kept, if everything it depends on is as it was."""
    try:
        kept = json.loads(cache.read_text())
        if kept["key"] != key:
            return None
        fields = kept["probe"]
        attempts = tuple(Attempt(**attempt) for attempt in fields.pop("attempts"))
        return Probe(**{**fields, "attempts": attempts, "cached": True})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a cache that cannot be read is a cache that is not there
