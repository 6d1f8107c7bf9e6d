"""The warm pool, measured: from the wish for a machine to its first result.

A first result is the value of `1 + 1`; a pandas result is measured beside it. Between two wishes
the pool is given the time to fill up again, so each finds a warm machine.
"""

import asyncio
import json
import statistics
import time

from forge.clock import SystemClock
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.images.stock import Images
from forge.sandbox.output import Display, Output
from forge.sandbox.pool import PoolPlan
from forge.sandbox.pooled import PooledProvider, open_pooled
from forge.sandbox.qemu.provider import open_provider
from forge.settings import read_settings

PANDAS = "import pandas as pd\npd.DataFrame({'a': [1, 2, 3]}).a.sum()"
RUNS = 100


async def _hear(_: Output | Display) -> None:
    return None


def _report(name: str, value: float, unit: str, n: int) -> None:
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit, "n": n}))


async def _first(provider: PooledProvider, code: str) -> tuple[Sandbox, float, float]:
    started = time.perf_counter()
    machine = await provider.create(SandboxSpec())
    ready = (time.perf_counter() - started) * 1000
    result = await machine.code.run(code, _hear, deadline_s=30)
    assert result.status == "ok"
    return machine, ready, (time.perf_counter() - started) * 1000


async def _measure(provider: PooledProvider, code: str, words: str, runs: int) -> None:
    ready, results = [], []
    for _ in range(runs):
        while provider.pool.counts().get("base", 0) < 2:  # noqa: ASYNC110 -- it has no bell
            await asyncio.sleep(0.02)
        machine, made, answered = await _first(provider, code)
        ready.append(made)
        results.append(answered)
        await machine.stop()
    _report(f"from the pool, ready, p50 ({words})", statistics.median(ready), "ms", runs)
    _report(f"from the pool to {words}, p50", statistics.median(results), "ms", runs)
    _report(f"from the pool to {words}, p99", sorted(results)[int(runs * 0.99) - 1], "ms", runs)


async def main() -> None:
    """Measure on this host, with the base template."""
    settings = read_settings()
    image = Images(settings.home).find("base")
    async with (
        open_provider(settings.home, lambda _: image, lambda _: None) as plain,
        open_pooled(plain, PoolPlan(2, 2000), SystemClock()) as provider,
    ):
        provider.pool.want(SandboxSpec())
        await _measure(provider, "1 + 1", "a first result", RUNS)
        await _measure(provider, PANDAS, "a pandas result", RUNS // 4)


asyncio.run(main())
