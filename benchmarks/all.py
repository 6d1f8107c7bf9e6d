"""Runs every benchmark here and prints their figures as one table.

Each is a program of its own that prints one JSON object a line: name, value, unit and how many
times it was measured. One after the other, so that none disturbs another.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def figures(program: Path) -> list[dict[str, object]]:
    """What one benchmark measured."""
    done = subprocess.run(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{program.name} ended with code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    """Measure everything."""
    print(f"{'FIGURE':44}{'VALUE':>12}  {'UNIT':8}{'N':>6}")
    for program in sorted(HERE.glob("bench_*.py")):
        for figure in figures(program):
            print(
                f"{figure['name']!s:44}{figure['value']!s:>12}  {figure['unit']!s:8}"
                f"{figure.get('n', '')!s:>6}",
                flush=True,
            )


if __name__ == "__main__":
    main()
