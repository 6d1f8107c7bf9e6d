"""How long a person waits for `forge --help`: one JSON line per figure.

Whole processes, started as a shell starts them, with the files in the page cache.

    uv run python benchmarks/bench_cli_start.py
"""

import json
import statistics
import subprocess
import sys
import time

N = 20
COMMANDS = {"cli_help": ["--help"], "cli_run_help": ["run", "--help"], "cli_version": ["--version"]}


def milliseconds(arguments: list[str]) -> float:
    """One start, from the process's beginning to its end."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "forge", *arguments], stdout=subprocess.DEVNULL, check=True
    )
    return (time.perf_counter() - begun) * 1000


def main() -> None:
    """Measure and print."""
    for name, arguments in COMMANDS.items():
        milliseconds(arguments)
        times = [milliseconds(arguments) for _ in range(N)]
        for what, value in (("p50", statistics.median(times)), ("max", max(times))):
            print(
                json.dumps({"name": f"{name}_{what}", "value": round(value), "unit": "ms", "n": N})
            )


if __name__ == "__main__":
    main()
