"""Killing a server of runs with `kill -9` at any moment, and looking at what is left.

Each round starts the server of `tests/serving.py` on the same database, gives it new runs, and
kills it after a while chosen by chance. A last one runs to its end. Then everything that anybody
was ever shown is compared with the ledgers.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from forge.events import RunFinished, ToolFinished, ToolStarted
from forge.ids import RunId
from forge.ledger.read import LedgerReader
from forge.store.database import Database
from forge.testing.providers.received import Received
from forge.testing.providers.script import Reply, Say, Step, UseTool

TOOLS = 3
"""How many tool calls a run makes before it answers."""

_START_S, _END_S = 60.0, 300.0
"""For a busy host."""


def work(received: Received) -> Step:
    """A run's next step: a file and some output, until there were enough of them."""
    done = len(received.tool_results)
    if done >= TOOLS:
        return Reply([Say("All is done.")], piece=3)
    code = f"open('made{done}.txt', 'w').write('x' * 100)\nfor n in range(20): print(n)"
    return Reply([Say(f"Step {done}."), UseTool("run_python", {"code": code}, f"c{done}")], piece=5)


@dataclass(slots=True)
class Found:
    """What was left: counts of what should not be, and of what was done."""

    kills: int = 0
    runs: int = 0
    records: int = 0
    resumed: int = 0
    lost: int = 0
    changed: int = 0
    broken: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


class Killing:
    """One home, killed again and again.

    Args:
        home: the servers' folder.
        provider: the address of the models' provider, and its key.
        engine: what carries runs out.
        where: the database, if it is not in the home.
        machines: a home of Forge's for real microVMs; None for machines without walls.
    """

    def __init__(
        self,
        home: Path,
        provider: tuple[str, str],
        *,
        engine: str,
        where: str = "",
        machines: Path | None = None,
    ) -> None:
        self._home, (self._url, self._key) = home, provider
        self._engine, self._where, self._machines = engine, where, machines
        self._shown: dict[RunId, dict[int, str]] = {}
        self.found = Found()

    async def round(self, runs: int, *, kill_after: float | None, shown: int = 0) -> None:
        """Start a server; kill it, or let it end by itself.

        Args:
            runs: how many it is given.
            kill_after: seconds to let it live; None to let it end.
            shown: the seconds begin once it has shown so many records; 0 is once it is ready.
        """
        program = Path(__file__).with_name("serving.py")
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(program), str(self._home), self._where, self._engine,
            str(self._machines or ""), self._url, self._key, str(runs),
            stdout=asyncio.subprocess.PIPE, start_new_session=True,
            env={
                "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "TMPDIR": str(self._home / "machines"), "HOME": str(self._home),
            },
        )  # fmt: skip
        assert child.stdout is not None
        async with asyncio.timeout(_START_S):
            ready = (await child.stdout.readline()).decode().split()
        assert ready[:1] == ["ready"], ready
        self.found.resumed += len(ready) - 1
        seen = b""
        async with asyncio.timeout(_START_S):
            for _ in range(shown):
                seen += await child.stdout.readline()
        if kill_after is not None:
            await asyncio.sleep(kill_after)
            if child.returncode is None:
                os.kill(child.pid, signal.SIGKILL)
                self.found.kills += 1
        async with asyncio.timeout(_END_S):
            # Its machines' processes hold its output, so this ends once none of them is left.
            rest, _ = await child.communicate()
        for line in (seen + rest).decode().split("\n")[:-1]:  # one that was cut off was not shown
            run_id, seq, digest = line.split()
            known = self._shown.setdefault(RunId(run_id), {})
            if known.setdefault(int(seq), digest) != digest:
                self.found.changed += 1

    async def look(self) -> Found:
        """Compare what was shown with the ledgers, once all is over."""
        self.found.left = processes_in(self._machines or self._home / "machines")
        if self._machines is not None:
            folder = self._machines / "machines"
            self.found.left += [each.name for each in folder.iterdir() if each.is_dir()]
        async with Database.open(self._where or self._home / "forge.db") as database:
            reader = LedgerReader(database)
            for run in await reader.runs(limit=100_000):
                self.found.runs += 1
                self.found.statuses[run.status] += 1
                await reader.verify(run.id)
                records = await reader.records(run.id)
                self.found.records += len(records)
                kept = {record.seq: record.hash for record in records}
                for seq, digest in self._shown.get(run.id, {}).items():
                    self.found.lost += seq not in kept
                    self.found.changed += kept.get(seq, digest) != digest
                self._check_calls(run.id, [record.event for record in records])
        return self.found

    def _check_calls(self, run_id: RunId, events: list[object]) -> None:
        """Each call begins once and ends once, and the run ends once."""
        begun = Counter(e.call_id for e in events if isinstance(e, ToolStarted))
        ended = Counter(e.call_id for e in events if isinstance(e, ToolFinished))
        ends = sum(isinstance(event, RunFinished) for event in events)
        if begun != ended or any(count > 1 for count in begun.values()) or ends != 1:
            self.found.broken.append(run_id)


def processes_in(folder: Path) -> list[str]:
    """The processes that work in this folder, or hold a file of it open: machines that nobody owns
    any more.
    """
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):  # it ended meanwhile
                held = [process / "cwd", *(process / "fd").iterdir()]
                if any(_target(each).is_relative_to(folder) for each in held):
                    found.append(process.name)
    return found


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except OSError:  # it was closed meanwhile
        return Path("/")


def fresh_home(folder: Path) -> Path:
    """A folder for a home, with a place for its machines."""
    home = Path(tempfile.mkdtemp(dir=folder))
    (home / "machines").mkdir()
    return home
