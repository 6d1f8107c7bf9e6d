"""`forge run` and a server, as whole processes: here, elsewhere, killed, or a liar."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from terminals import ENDLESS, HELLO, LONG_S, House, house_in, wait_for

SLOW = """```python
import time
print('beg' + 'un', flush=True)
time.sleep(2)
print('over')
```"""


@pytest.fixture
def house(tmp_path: Path) -> House:
    return house_in(tmp_path)


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(house: House, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A server of this house, which says where it is."""
    before = dict(house.environment)
    house.environment |= environment
    process = house.start("serve", stderr=subprocess.STDOUT)
    house.environment = before
    with process:
        wait_for(process, "Machines are ready")
        reading = threading.Thread(target=process.stdout.read, daemon=True)  # type: ignore[union-attr]
        reading.start()
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=LONG_S)
            reading.join(timeout=LONG_S)


def test_a_run_asks_the_server_of_this_home(house: House):
    """Output, files and exit code are as without one; the machine was the server's."""
    with serving(house, FORGE_PORT=str(port())):
        file = house.home / "server.json"
        assert file.stat().st_mode & 0o077 == 0
        said = house.forge("run", HELLO)
        assert "Asking the server that runs here" in said.err
        assert "│ hello\n" in said.out
        assert re.search(r"\n✓ Done · .* · local/none\n$", said.out)
        assert house.made() == {"made.txt": "made"}
        house.forge("run", "x", "--model", "gpt", code=2)
    assert not file.exists()
    assert len(house.runs()) == 1


def test_a_run_goes_on_when_its_server_is_killed_and_comes_back(house: House):
    """`kill -9` in the middle: the new server takes the run up, on another port, and the terminal
    follows it to its end.
    """
    with serving(house, FORGE_PORT=str(port())) as first, house.start("run", "--json", SLOW) as run:
        seen = wait_for(run, "begun")
        first.kill()
        first.wait(timeout=LONG_S)
        with serving(house, FORGE_PORT=str(port())):
            out, err = run.communicate(timeout=LONG_S)
    records = [json.loads(line) for line in (seen + out).splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1)), err
    assert "run.resumed" in [record["event"]["type"] for record in records]
    assert records[-1]["event"]["type"] == "run.finished"


@pytest.mark.parametrize("with_server", [True, False])
def test_a_run_is_stopped_and_steered_from_another_terminal(house: House, with_server: bool):
    """Through the server that carries it out, or the database of the terminal that does. A run that
    is over, and a call that does not wait, are refused.
    """
    with ExitStack() as stack:
        if with_server:
            stack.enter_context(serving(house, FORGE_PORT=str(port())))
        run = stack.enter_context(house.start("run", "--json", ENDLESS))
        seen = wait_for(run, "begun")
        run_id = json.loads(seen.splitlines()[0])["run_id"]
        house.forge("runs", "approve", run_id, "no_such_call", code=2)
        assert "hears it" in house.forge("runs", "steer", run_id, "hurry up").err
        assert "told to stop" in house.forge("runs", "stop", run_id).err
        out, err = run.communicate(timeout=LONG_S)
        last = json.loads((seen + out).splitlines()[-1])["event"]
        assert (last["type"], last["status"]) == ("run.finished", "cancelled"), err
        house.forge("runs", "steer", run_id, "too late", code=2)
        house.forge("runs", "stop", "run_nowhere", code=2)


def test_a_server_that_crashed_is_not_asked(house: House):
    """Its file is there still, and names a process that is gone."""
    house.home.mkdir()
    file = house.home / "server.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    owner = f"{boot}:{os.getpid()}:1"
    file.write_text(json.dumps({"url": "http://127.0.0.1:9", "owner": owner, "key": "fgl_x"}))
    file.chmod(0o600)
    said = house.forge("run", HELLO)
    assert "Asking the server" not in said.err
    assert "│ hello\n" in said.out


def test_a_wrong_key_is_said_and_a_right_one_is_not_needed_by_the_owner(house: House):
    """A server with accounts refuses a stranger with code 2; its own home's terminal is let in."""
    where = str(port())
    with serving(house, FORGE_PORT=where, FORGE_LOGIN="always"):
        assert "│ hello\n" in house.forge("run", HELLO).out
        url = f"http://127.0.0.1:{where}"
        said = house.forge("run", HELLO, code=2, FORGE_SERVER=url, FORGE_API_KEY="fgk_wrong")
        assert "FORGE_API_KEY" in said.err
        assert "fgk_wrong" not in said.out + said.err


def test_a_signal_stops_a_run_at_a_server(house: House):
    """The run is cancelled there, and the server goes on."""
    with serving(house, FORGE_PORT=str(port())) as server:
        with house.start("run", SLOW.replace("sleep(2)", "sleep(600)")) as run:
            wait_for(run, "begun")
            run.send_signal(signal.SIGINT)
            out, err = run.communicate(timeout=LONG_S)
        assert run.returncode == 130, err
        assert "■ Cancelled" in out
        assert server.poll() is None


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nevent: accepted\ndata: \x1b]0;owned\x07\n\n",
        b"HTTP/1.1 500 \x1b[31m\r\n\r\n\x1b[31mowned",
        b'HTTP/1.1 422 x\r\n\r\n{"code": "input_refused", "detail": "\\u001b]0;owned\\u0007"}',
        b"\x1b[31m garbage\r\n\r\n",
    ],
)
def test_a_server_cannot_control_the_terminal(house: House, answer: bytes):
    """Whatever it answers, it is said in words, without an escape sequence or a traceback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def lie() -> None:
            deadline = time.monotonic() + LONG_S
            listener.settimeout(1)
            while time.monotonic() < deadline and not done.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        done = threading.Event()
        thread = threading.Thread(target=lie)
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            code = 2 if b"422" in answer else 3
            said = house.forge("run", "x", code=code, FORGE_SERVER=url)
        finally:
            done.set()
            thread.join()
    assert not {"\x1b", "\x07"} & set(said.out + said.err)
    assert "Traceback" not in said.err
