"""How well messages are routed: the labelled set of `tests/unit/agent/routing.jsonl`, both halves.

    uv run python benchmarks/eval_router.py [--wrong tune|held]

The rules were written and mended looking at the half `tune` alone. Three figures for each half:
how many messages the rules decide, how many of those rightly, and how many are right when nobody
is asked about the rest. Work that is answered in words is counted apart: it is the worse mistake.
The small model is not asked; what it adds depends on the model.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.agent.router import Decision, route

SET = Path(__file__).parents[1] / "tests" / "unit" / "agent" / "routing.jsonl"


@dataclass(frozen=True, slots=True)
class Score:
    """What one half came to, in messages."""

    messages: int
    decided: int
    decided_right: int
    right: int
    work_as_words: int

    def __str__(self) -> str:
        sure = self.decided_right / max(self.decided, 1)
        return (
            f"{self.messages} messages; the rules decide {self.decided / self.messages:.1%}, "
            f"{sure:.1%} of them rightly; right with nobody asked {self.right / self.messages:.1%};"
            f" work answered in words {self.work_as_words}"
        )


def labelled(half: str) -> list[dict[str, Any]]:
    """The labelled messages of a half."""
    lines = SET.read_text(encoding="utf-8").splitlines()
    return [one for line in lines if (one := json.loads(line))["half"] == half]


def decided(one: dict[str, Any]) -> Decision:
    """What the rules say of a labelled message."""
    earlier = [one["earlier"]] if one["earlier"] else []
    return route(one["message"], has_files=one["files"], earlier=earlier, model_uses_tools=True)


def score(half: str) -> Score:
    """What a half comes to."""
    found = [(one, decided(one)) for one in labelled(half)]
    return Score(
        messages=len(found),
        decided=sum(said.sure for _, said in found),
        decided_right=sum(said.sure and said.path == one["path"] for one, said in found),
        right=sum(said.path == one["path"] for one, said in found),
        work_as_words=sum(said.path == "chat" != one["path"] for one, said in found),
    )


def main() -> None:
    """Print both halves, and with `--wrong HALF` what was not decided rightly in it."""
    for half in ("tune", "held", "fresh"):
        print(f"{half}: {score(half)}")
    if len(sys.argv) == 3 and sys.argv[1] == "--wrong":
        missed: Counter[str] = Counter()
        for one in labelled(sys.argv[2]):
            said = decided(one)
            if not said.sure or said.path != one["path"]:
                missed[one["kind"]] += 1
                mark = "open " if not said.sure else "WRONG"
                print(f"{mark} {one['path']:5} ← {one['message']!r} ({said.path}: {said.reason})")
        print(dict(missed))


if __name__ == "__main__":
    main()
