"""`forge` as whole processes, each with a home of its own: for the tests of the command line."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LONG_S = 200
"""Far more than anything here takes; reaching it means that something hangs."""

PLUGIN = """
import asyncio
from contextlib import asynccontextmanager
from forge.testing.sandbox import LocalProvider

class Slow(LocalProvider):
    async def create(self, spec):
        print("creating", flush=True)
        await asyncio.sleep(3600)

class Broken(LocalProvider):
    async def create(self, spec):
        raise RuntimeError("secret text")

def opening(kind):
    @asynccontextmanager
    async def opened(home, images, notify):
        provider = kind()
        try:
            yield provider
        finally:
            await provider.close()
            (home / "closed").touch()
    return opened

local, slow, broken = opening(LocalProvider), opening(Slow), opening(Broken)

@asynccontextmanager
async def unopened(home, images, notify):
    raise RuntimeError("secret text")
    yield
"""
HELLO = "```python\nprint('hel' + 'lo')\nopen('made.txt', 'w').write('made')\n```"
ENDLESS = """```python
import time
open('kept.txt', 'w').write('kept')
print('beg' + 'un', flush=True)
while True: time.sleep(0.05)
```"""


@dataclass
class House:
    """A home folder, an empty current folder, and an environment with nothing else in it."""

    folder: Path
    environment: dict[str, str]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(self, *arguments: str, **other) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "forge", *arguments],
            cwd=self.folder / "work",
            env=self.environment,
            text=True,
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **other,
            },
        )

    def forge(
        self, *arguments: str, code: int = 0, given: str | None = None, **environment: str
    ) -> "Said":
        self.environment |= environment
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        with self.start(*arguments, stdin=stdin) as process:
            out, err = process.communicate(given, timeout=LONG_S)
        assert process.returncode == code, f"{process.returncode}\n{out}\n{err}"
        return Said(out, err)

    def runs(self) -> list[dict[str, str]]:
        lines = self.forge("runs", "list", "--json").out.splitlines()
        return [json.loads(line) for line in lines]

    def made(self) -> dict[str, str]:
        """The artifacts that were put out, by name, with what is in them."""
        found = (self.folder / "work").glob("forge-out/*/*")
        return {path.name: path.read_text() for path in found}


@dataclass
class Said:
    out: str
    err: str


def house_in(tmp_path: Path) -> House:
    """A house whose machines are this host's processes."""
    plugin = tmp_path / "plugin"
    facts = plugin / "forge_local-1.0.dist-info"
    facts.mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (plugin / "forge_local.py").write_text(PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: forge-local\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[forge.sandboxes]\n"
        + "".join(f"{n} = forge_local:{n}\n" for n in ("local", "slow", "broken", "unopened"))
    )
    return House(
        tmp_path,
        {
            "PATH": os.environ["PATH"],  # noqa: TID251 - the tests' own
            "HOME": str(tmp_path),
            "FORGE_HOME": str(tmp_path / "home"),
            "FORGE_SANDBOX": "local",
            "PYTHONPATH": str(plugin),
            "PYTHONWARNINGS": "error",
            "LC_ALL": "C.UTF-8",
        },
    )


def wait_for(process: subprocess.Popen[str], word: str) -> str:
    """What the process prints, up to the first line with this word."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if word in line:
            return seen
    raise AssertionError(f"{word!r} was not printed:\n{seen}")
