"""A real PostgreSQL for tests and benchmarks: made in a temporary folder, gone afterwards.

It listens on a socket in that folder and nowhere else. PostgreSQL refuses to be root, so where we
are root it runs as `nobody`. Its collation is that of English, not of bytes: who relies on the
order of bytes finds out. A cluster takes a second or two to make, a database of it, copied from a
template, some hundredths of one.

`cluster` owns the server and its folder. The server dies with this process, however that ends.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from forge.errors import ProgramMissing
from forge.store.database import Database

START_S = 60
"""How long the server may take to start; one second is usual, a loaded computer takes more."""

_TEMPLATE = "forge_template"
_ATTEMPT_S = 0.05


class Cluster:
    """A running server. Made by `cluster`."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self.folder = folder
        self._command = command
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    def start(self) -> None:
        """Start it; returns when it answers.

        Raises:
            ProgramMissing: it does not start.
        """
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self.folder)
        _wait(self, self._server)

    def stop(self) -> None:
        """End it at once, and its children with it; what was committed is there when it starts."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(START_S)
        finally:
            self._server.kill()
            self._server = None

    def url(self, name: str, *, user: str = "forge", password: str = "") -> str:
        """The URL of one of its databases."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@/{name}?host={self.folder}"

    def run(self, *statements: str, name: str = "postgres") -> None:
        """Carry out statements as the server's superuser, each by itself."""
        engine = create_engine(
            self.url(name).replace("postgresql:", "postgresql+psycopg:", 1),
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
        )
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def make_template(self) -> None:
        """Make what `database` copies: a database with Forge's tables."""

        async def migrated() -> None:
            async with Database.open(self.url(_TEMPLATE)):
                return

        self.run(f"CREATE DATABASE {_TEMPLATE}")
        # In a thread of its own, as the caller's may have a loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, migrated()).result()

    @contextmanager
    def database(self, *, empty: bool = False) -> Iterator[str]:
        """The URL of a fresh database, with Forge's tables or `empty`; it is gone afterwards."""
        name = f"forge_{next(self._numbers)}"
        source = "template1" if empty else _TEMPLATE
        self.run(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def cluster(*, durable: bool = False) -> Iterator[Cluster]:
    """A server of one's own.

    Args:
        durable: flush commits to the disk, as a real server does; tests need not wait for it.

    Raises:
        ProgramMissing: there is no PostgreSQL here.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="forge-pg-"))
    try:
        prefix = _unprivileged(folder)
        data = folder / "data"
        _initialise([*prefix, str(programs / "initdb")], data)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        made = Cluster(folder, [*prefix, str(programs / "postgres"), "-D", str(data), *options])
        try:
            made.start()
            made.make_template()
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    # Debian keeps them off the PATH, a folder per version.
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ProgramMissing("There is no PostgreSQL server here (initdb and postgres).")


def _unprivileged(folder: Path) -> list[str]:
    """The words before a command that make it an unprivileged one that dies with us."""
    words = ["setpriv", "--pdeathsig", "QUIT"]
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
        words += ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    return [*words, "--"]


def _initialise(command: list[str], data: Path) -> None:
    made = subprocess.run(
        [
            *command,
            "--pgdata", str(data),
            "--username", "forge",
            "--auth", "trust",
            "--encoding", "UTF8",
            "--locale", "C",
            "--locale-provider", "icu",
            "--icu-locale", "en-US",
            "--no-sync",
        ],
        check=False, capture_output=True, text=True, timeout=START_S, cwd=data.parent,
    )  # fmt: skip
    if made.returncode:
        raise ProgramMissing(f"initdb failed: {made.stderr.strip()[-500:]}")
    # Whoever is named `locked` needs a password; everyone else is let in.
    rules = data / "pg_hba.conf"
    rules.write_text("local all locked scram-sha-256\n" + rules.read_text())


def _wait(made: Cluster, server: "subprocess.Popen[bytes]") -> None:
    """Until the server answers; it is asked again each time, as nothing else tells."""
    for _ in range(int(START_S / _ATTEMPT_S)):
        try:
            made.run("SELECT 1")
        except OperationalError:
            try:
                server.wait(_ATTEMPT_S)
            except subprocess.TimeoutExpired:
                continue
            break
        return
    log = (made.folder / "log").read_text(errors="replace")
    raise ProgramMissing(f"PostgreSQL did not start: {log.strip()[-500:]}")
