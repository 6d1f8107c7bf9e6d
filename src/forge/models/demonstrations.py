"""What the offline mode can show without a model: three small programs, each typed by its name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A program to run in the machine. `word` is what follows `demo`."""

    word: str
    title: str
    code: str


DEMONSTRATIONS = (
    Demonstration(
        "table",
        "summarise a table with pandas",
        """\
import pandas as pd

sales = pd.DataFrame({
    "month": ["Jan", "Jan", "Feb", "Feb", "Mar", "Mar"],
    "shop": ["north", "south"] * 3,
    "revenue": [120.0, 95.5, 134.2, 88.9, 151.7, 102.3],
})
sales.to_csv("sales.csv", index=False)
print(sales.pivot_table(index="month", columns="shop", values="revenue", sort=False))
print()
print(sales["revenue"].describe())
""",
    ),
    Demonstration(
        "plot",
        "draw a chart with matplotlib and save it as waves.png",
        """\
import numpy as np
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

x = np.linspace(0, 4 * np.pi, 400)
figure, axes = plt.subplots(figsize=(7, 3.5))
for slowness in (1, 2, 3):
    axes.plot(x, np.exp(-x / 10) * np.sin(x / slowness), label=f"sin(x/{slowness})")
axes.set_title("Damped waves")
axes.legend()
figure.savefig("waves.png", dpi=120, bbox_inches="tight")
print("saved waves.png")
""",
    ),
    Demonstration(
        "simulate",
        "estimate pi by throwing a million darts",
        """\
import math
import random

random.seed(1)
hits = 0
for thrown in range(1, 1_000_001):
    hits += math.hypot(random.random(), random.random()) <= 1
    if thrown in (100, 10_000, 1_000_000):
        estimate = 4 * hits / thrown
        print(f"{thrown:>9,} darts: pi is about {estimate:.5f} (off by {estimate - math.pi:+.5f})")
""",
    ),
)


def chosen(text: str) -> Demonstration | None:
    """The demonstration `text` asks for: `demo plot`, or `demo 2`."""
    asked = text.strip().lower().split()
    if len(asked) != len(("demo", "word")) or asked[0] != "demo":
        return None
    for number, demonstration in enumerate(DEMONSTRATIONS, 1):
        if asked[1] in (demonstration.word, str(number)):
            return demonstration
    return None
