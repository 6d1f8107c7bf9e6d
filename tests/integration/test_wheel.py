"""What people install: an sdist and a wheel, made here, with the console in them.

The wheel is made from the sdist on a host without Node, as a packager would, and started in an
environment of its own, as a person would.
"""

import os
import socket
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

import house
from plugged import plugged

LONG_S = 300
"""Building and installing take seconds; the first time, what they need is fetched."""

BUILT = house.ROOT / "src" / "forge" / "_web" / "index.html"


def uv(*arguments: str, **environment: str) -> str:
    """Run the checkout's uv; what it printed."""
    done = subprocess.run(
        [house.ROOT / ".venv" / "bin" / "uv", "--quiet", *arguments],
        cwd=house.ROOT,
        env=dict(os.environ) | environment,  # noqa: TID251 - the tests' own
        check=False,
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_made_from_the_sdist_without_node_serves_its_console(tmp_path: Path):
    """What `pip install` gives opens in a browser, with nothing of the checkout beside it."""
    if not BUILT.exists():
        pytest.skip("the console is not built; `make test` builds it first, `make web` alone")
    uv("build", "--sdist", "--out-dir", str(tmp_path))
    (sdist,) = tmp_path.glob("*.tar.gz")
    uv("build", "--wheel", "--out-dir", str(tmp_path), str(sdist), PATH="/nonexistent")
    (wheel,) = tmp_path.glob("*.whl")
    needed, env = tmp_path / "needed.txt", tmp_path / "env"
    needed.write_text(uv("export", "--frozen", "--no-dev", "--no-emit-project"))
    uv("venv", str(env))
    python = str(env / "bin" / "python")
    uv("pip", "install", "--python", python, "--no-deps", "-r", str(needed), str(wheel))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [env / "bin" / "forge", "serve"],
        cwd=tmp_path,
        env={
            "PATH": "/nonexistent",
            "HOME": str(tmp_path),
            "FORGE_SANDBOX": "local",
            "FORGE_PORT": str(port),
            "PYTHONPATH": str(plugged(tmp_path)),
        },
    )
    try:
        page = when_it_answers(f"http://127.0.0.1:{port}/", server)
        assert page.text == BUILT.read_text()
        script = page.text.partition('type="module"')[2].partition('src="')[2].partition('"')[0]
        assert httpx2.get(f"http://127.0.0.1:{port}{script}").status_code == 200
    finally:
        server.terminate()
        server.wait(LONG_S)


def when_it_answers(url: str, server: subprocess.Popen[bytes]) -> httpx2.Response:
    until = time.monotonic() + LONG_S
    while True:
        try:
            return httpx2.get(url)
        except httpx2.TransportError:
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
