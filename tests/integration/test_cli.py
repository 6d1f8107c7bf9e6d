"""`forge` as people start it: whole processes, real signals, real HTTP, a real ledger.

The machines are `forge.testing`'s, brought in as any other package would bring its own: by an
entry point. Those marked `vm` use QEMU, the image and the home folder of whoever runs the tests.
"""

import contextlib
import hashlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from forge.cli.main import app
from forge.sandbox.images.store import Image
from forge.testing.providers.script import Fail, Reply, Say, Think, UseTool
from forge.testing.providers.server import serve_provider
from terminals import ENDLESS, HELLO, LONG_S, House, house_in, wait_for

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
FORGE_HOME = Path.home() / ".local/share/forge"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return house_in(tmp_path)


def test_a_persons_own_code_runs_with_nothing_configured(house: House):
    """Upload, code, live output, the artifact on the host, its digest, exit 0; and it says that no
    model is configured.
    """
    (house.folder / "work/in.csv").write_text("a,b\n1,2\n")
    prompt = f"{HELLO}\n```python\nprint(open('in.csv').read())\n```"
    said = house.forge("run", "--file", "in.csv", prompt)
    assert "No model is configured" in said.err
    assert "ANTHROPIC_API_KEY" in said.err
    assert "│ hello\n" in said.out
    assert "│ 1,2\n" in said.out
    assert re.search(r"→ forge-out/run_\w+/made\.txt \(4 B\)\n  sha256 [0-9a-f]{64}\n", said.out)
    assert re.search(r"\n✓ Done · .* · local/none\n$", said.out)
    assert house.made() == {"made.txt": "made"}


@pytest.mark.parametrize("arguments", [("run",), ("run", "-")])
def test_a_prompt_may_be_piped_in(house: House, arguments: tuple[str, ...]):
    """By a dash, or by saying nothing."""
    assert "│ hello\n" in house.forge(*arguments, given=HELLO).out


def test_json_is_the_ledger_and_nothing_else(house: House):
    """Every line of stdout is a record, in order, as `runs show --json` prints them; pure ASCII."""
    said = house.forge("run", "--json", HELLO + "\n```python\nprint('\\x9b31m é')\n```")
    records = [json.loads(line) for line in said.out.splitlines()]
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert (records[0]["event"]["type"], records[-1]["event"]["type"]) == (
        "run.started",
        "run.finished",
    )
    assert said.out.isascii()
    assert house.forge("runs", "show", "--json", records[0]["run_id"]).out == said.out
    assert house.made() == {"made.txt": "made"}


def test_a_guest_cannot_control_the_terminal(house: House):
    """Escape sequences are shown, in text, in tracebacks and in displayed values."""
    said = house.forge(
        "run", "```python\nprint('\\x1b]0;owned\\x07 \\x9b2J')\nraise ValueError('\\x1b[31m')\n```"
    )
    assert not {"\x1b", "\x07", "\x9b"} & set(said.out + said.err)
    assert "␛]0;owned␇ \\x9b2J" in said.out
    assert "ValueError: ␛[31m" in said.out


def test_a_model_writes_runs_and_answers(house: House):
    """A real SDK over real HTTP: thinking, words, a tool call, its result, the answer, the cost."""
    script = [
        Reply([Think("Let me think."), Say("I will add."), UseTool("run_python", {"code": "1+1"})]),
        Reply([Say("It is two.")]),
    ]
    with serve_provider(script) as provider:
        said = house.forge(
            "run",
            "What is 1+1?",
            "--route",
            "agent",
            "--max-usd",
            "1",
            ANTHROPIC_API_KEY=provider.key,
            ANTHROPIC_BASE_URL=provider.anthropic_url,
        )
        assert provider.refusals == []
    assert "Asking anthropic:claude-sonnet-5-5 (the default, as ANTHROPIC_API_KEY is" in said.err
    for words in ("Let me think.", "I will add.", "│ 2\n", "It is two.", "240 tokens", "$0.00"):
        assert words in said.out
    shown = house.forge("runs", "show", house.runs()[0]["id"]).out
    for words in ("What is 1+1?", "Step 1", "1+1", "│ 2\n", "It is two.", "chain verified"):
        assert words in shown


def test_an_openai_compatible_server_needs_only_its_url(house: House):
    """No key is asked for where a base URL is set."""
    with serve_provider([Reply([Say("Hello there.")])], key="none") as provider:
        said = house.forge(
            "run", "Hi", OPENAI_BASE_URL=provider.openai_url, FORGE_MODEL="openai:local-model"
        )
    assert "Hello there." in said.out
    assert "cost unknown" in said.out


@pytest.mark.parametrize(
    ("step", "options", "code", "words"),
    [
        (Fail(401), (), 4, "API key"),
        (Reply([UseTool("run_python", {"code": "1"})]), ("--max-iterations", "1"), 5, "cap"),
    ],
)
def test_a_run_that_fails_ends_with_its_own_code(
    house: House, step: Fail | Reply, options: tuple[str, ...], code: int, words: str
):
    """A wrong key and a reached cap are different outcomes, said in words."""
    with serve_provider([step]) as provider:
        said = house.forge(
            "run",
            "Hi",
            *options,
            code=code,
            ANTHROPIC_API_KEY=provider.key,
            ANTHROPIC_BASE_URL=provider.anthropic_url,
        )
    assert "What to do: " in said.err
    assert words in said.err
    assert "Traceback" not in said.err
    assert provider.key not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (("run", "--nonsense"), {}, "--nonsense"),
        (("run", ""), {}, "nothing asked"),
        (("run", "x", "--max-usd", "-1"), {}, "not an amount"),
        (("run", "x", "--file", "absent"), {}, "cannot be read"),
        (("run", "x", "--file", "/dev/null"), {}, "not a regular file"),
        (("run", "x", "--out", "/dev/null"), {}, "symlink, or a file"),
        (("run", "x", "--model", "gpt"), {}, "not the name of a model"),
        (("run", "x", "--model", "gemini:x"), {}, "anthropic, openai, offline"),
        (("run", "x", "--model", "offline:gpt"), {}, "not a model"),
        (("run", "x", "--model", "anthropic"), {}, "ANTHROPIC_API_KEY is not set"),
        (("run", "x"), {"FORGE_SANDBOX": "docker"}, "qemu"),
        (("run", "x"), {"FORGE_MAX_TOKEN": "1"}, "FORGE_MAX_TOKENS"),
        (("run", "x"), {"FORGE_PRICES": "/absent"}, "/absent"),
        (("run", "x"), {"OPENAI_BASE_URL": "localhost"}, "base URL"),
        (("runs", "show", "nothing"), {}, "no run"),
        (("image", "build", "absent"), {}, "base"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    house: House, arguments: tuple[str, ...], environment: dict[str, str], words: str
):
    """Exit 2, the reason, and no traceback; nothing was run."""
    said = house.forge(*arguments, code=2, **environment)
    assert words in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_home_that_cannot_be_made_is_the_hosts_fault(house: House):
    """Exit 3, and which setting to change."""
    (house.folder / "file").write_text("")
    said = house.forge("run", "x", code=3, FORGE_HOME=str(house.folder / "file/home"))
    assert "FORGE_HOME" in said.err


@pytest.mark.parametrize("sandbox", ["unopened", "broken"])
def test_what_nobody_foresaw_is_one_line_and_a_log(house: House, sandbox: str):
    """No traceback on the terminal; all of it in the log, which is the owner's alone."""
    code = 70 if sandbox == "unopened" else 1
    said = house.forge("run", HELLO, code=code, FORGE_SANDBOX=sandbox)
    assert "RuntimeError" in said.err
    assert "secret text" not in said.out + said.err
    assert "Traceback" not in said.out + said.err
    log = house.home / "forge.log"
    assert "secret text" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_a_run_in_order(house: House, number: signal.Signals, code: int, times: int):
    """The machine is gone, the ledger closed, what was made is put out; a second one changes
    nothing.
    """
    with house.start("run", ENDLESS) as process:
        wait_for(process, "begun")
        for _ in range(times):
            process.send_signal(number)
        out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == code, err
    assert "■ Cancelled" in out
    assert "Stopping …" in err
    assert (house.home / "closed").exists()
    (run,) = house.runs()
    assert run["status"] == "cancelled"
    assert "chain verified" in house.forge("runs", "show", run["id"]).out


def test_a_signal_while_the_machine_is_made_ends_the_run(house: House):
    """There is no machine yet, and there will be none."""
    house.environment["FORGE_SANDBOX"] = "slow"
    with house.start("run", HELLO) as process:
        wait_for(process, "creating")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 130, err
    assert "no machine" in out
    assert (house.home / "closed").exists()
    assert house.runs()[0]["status"] == "cancelled"


def test_a_killed_forge_is_tidied_up_by_the_next(house: House):
    """`kill -9` leaves an open run; the next command closes it, and says so."""
    with house.start("run", ENDLESS) as process:
        wait_for(process, "begun")
        process.kill()
        process.wait(timeout=LONG_S)
    said = house.forge("runs", "list")
    assert "Closed 1 run that a crash left open" in said.err
    assert "interrupted" in said.out
    assert "Closed" not in house.forge("runs", "list").err


def test_nobody_reading_ends_the_run(house: House):
    """`forge run | head` stops the run when head has gone."""
    prompt = "```python\nimport time\nwhile True: print('line'); time.sleep(0.01)\n```"
    with house.start("run", prompt) as process:
        wait_for(process, "line")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=LONG_S) == 141
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert house.runs()[0]["status"] == "cancelled"


def test_chat_reads_messages_to_the_end_of_its_input(house: House):
    """Piped in, as a script would: each message is a run; the machine is kept, so files stay."""
    (house.folder / "work/in.txt").write_text("given\n")
    code = "```python\nprint(open('in.txt').read())\n```\n"
    said = house.forge("chat", given=f"/file in.txt\n{code}{code}/quit\n")
    assert said.out.count("│ given\n") == 2
    assert "This is one conversation" in said.err
    assert len(house.runs()) == 2


class Person:
    """Whoever sits at a terminal: `seen` is what was shown and not yet looked for."""

    def __init__(self, fd: int):
        self.fd = fd
        self.seen = b""


@contextmanager
def terminal(house: House, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Person]]:
    """A process with a terminal of its own, and the person's end of it."""
    person, own = pty.openpty()
    termios.tcsetwinsize(own, (50, 200))
    house.environment["TERM"] = "xterm"
    process = house.start(*arguments, stdin=own, stdout=own, stderr=own, start_new_session=True)
    os.close(own)
    try:
        yield process, Person(person)
    finally:
        process.kill()
        process.wait(timeout=LONG_S)
        os.close(person)


def until(person: Person, word: str, nudge: Callable[[], object] = lambda: None) -> str:
    """What the terminal shows, up to this word; `nudge` is called each second it is not there."""
    deadline = time.monotonic() + LONG_S
    while word.encode() not in person.seen:
        assert time.monotonic() < deadline, f"{word!r} was not shown:\n{person.seen!r}"
        if not select.select([person.fd], [], [], 1)[0]:
            nudge()
            continue
        try:
            person.seen += os.read(person.fd, 65536)
        except OSError as gone:
            raise AssertionError(f"it ended without {word!r}:\n{person.seen!r}") from gone
    shown, _, person.seen = person.seen.partition(word.encode())
    return shown.decode(errors="replace") + word


def test_ctrl_c_stops_a_run_and_not_the_chat(house: House):
    """At a real terminal: during a run, at the prompt; then Ctrl-D leaves with 0."""
    with terminal(house, "chat") as (process, person):
        until(person, "» ")
        os.write(person.fd, ENDLESS.replace("\n", "\r").encode() + b"\r")
        until(person, "begun")
        process.send_signal(signal.SIGINT)
        until(person, "Cancelled")
        until(person, "» ")
        # Again each second: one that comes between the prompt and readline's waiting is only
        # noticed with the next key. No person is that quick.
        process.send_signal(signal.SIGINT)
        until(person, "Ctrl-D or /quit", lambda: process.send_signal(signal.SIGINT))
        until(person, "» ")
        os.write(person.fd, HELLO.replace("\n", "\r").encode() + b"\r")
        until(person, "✓ Done")
        until(person, "» ")
        os.write(person.fd, b"\x04")
        assert process.wait(timeout=LONG_S) == 0
    assert [run["status"] for run in house.runs()] == ["done", "cancelled"]


@pytest.mark.parametrize(("busy", "code"), [(False, -signal.SIGTERM), (True, 143)])
def test_sigterm_ends_the_chat(house: House, busy: bool, code: int):
    """At the prompt at once, as nothing is under way; during a run when the run has ended."""
    with terminal(house, "chat") as (process, person):
        until(person, "» ")
        if busy:
            os.write(person.fd, ENDLESS.replace("\n", "\r").encode() + b"\r")
            until(person, "begun")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=LONG_S) == code
    assert [run["status"] for run in house.runs()] == ["cancelled"] * busy


def test_a_run_without_a_prompt_at_a_terminal_says_what_to_do(house: House):
    """It does not sit there waiting for a person who waits for it."""
    with terminal(house, "run") as (process, person):
        until(person, "forge chat")
        assert process.wait(timeout=LONG_S) == 2


def test_the_demo_tells_each_step(house: House):
    """Six steps, each with its time."""
    said = house.forge("demo", code=6, FORGE_SANDBOX="local")
    assert re.findall(r"^(\d)\. ", said.out, re.MULTILINE)[:4] == ["1", "2", "3", "4"]
    assert "Clean up" in said.out


@pytest.fixture
def microvms(house: House, base_image: Image) -> House:
    """A house whose machines are real ones, with a ledger of its own and the built image."""
    assert base_image.root.exists()
    house.home.mkdir()
    for name in ("images", "templates", "probe.json"):
        (house.home / name).symlink_to(FORGE_HOME / name)
    house.environment["FORGE_SANDBOX"] = "qemu"
    return house


def vmms(house: House) -> list[int]:
    """The process ids of this house's machines."""
    records = (house.home / "machines").glob("*/record.json")
    return [json.loads(path.read_text())["vmm"]["pid"] for path in records]


def lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


SALES = """```python
import pandas as pd, matplotlib.pyplot as plt
df = pd.read_csv('sales.csv'); df.groupby('month').revenue.sum().plot(kind='bar')
plt.savefig('revenue.png'); df.describe()
```"""


@pytest.mark.vm
def test_a_persons_file_becomes_a_chart_in_a_microvm(microvms: House):
    """The whole slice with nothing configured: upload, run, data frame, chart, digest."""
    work = microvms.folder / "work"
    (work / "sales.csv").write_text("month,revenue\nJan,10\nFeb,20\nJan,5\n")
    said = microvms.forge("run", "--file", "sales.csv", SALES)
    assert "│ count   3.000000\n" in said.out
    assert "[image/png, " in said.out
    (chart,) = work.glob("forge-out/run_*/revenue.png")
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert hashlib.sha256(chart.read_bytes()).hexdigest() in said.out
    assert vmms(microvms) == []


@pytest.mark.vm
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_microvm(microvms: House, number: signal.Signals, code: int):
    """Twice, at once: the VMM is gone, its folder too, the ledger closed."""
    with microvms.start("run", ENDLESS) as process:
        wait_for(process, "begun")
        (pid,) = vmms(microvms)
        process.send_signal(number)
        process.send_signal(number)
        _, err = process.communicate(timeout=LONG_S)
    assert process.returncode == code, err
    assert not lives(pid)
    assert vmms(microvms) == []
    assert [run["status"] for run in microvms.runs()] == ["cancelled"]


@pytest.mark.vm
def test_no_microvm_outlives_a_killed_forge(microvms: House):
    """The kernel ends the VMM; the next command removes its folder and closes the run."""
    with microvms.start("run", ENDLESS) as process:
        wait_for(process, "begun")
        (pid,) = vmms(microvms)
        process.kill()
        process.wait(timeout=LONG_S)
    descriptor = None
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
    if descriptor is not None:
        assert select.select([descriptor], [], [], LONG_S)[0], "the VMM is still there"
        os.close(descriptor)
    said = microvms.forge("runs", "list")
    assert "Removed 1 machine" in said.err
    assert "Closed 1 run" in said.err
    assert vmms(microvms) == []


@pytest.mark.vm
def test_the_demo_shows_a_machines_whole_life(microvms: House):
    """Probe, create, write, execute, read, clean up: six steps, six times, nothing left."""
    said = microvms.forge("demo")
    assert re.findall(r"^(\d)\. ", said.out, re.MULTILINE) == list("123456")
    assert len(re.findall(r"^   took ", said.out, re.MULTILINE)) == 6
    assert vmms(microvms) == []


@pytest.mark.vm
def test_the_probe_speaks_plainly(microvms: House):
    """Which accelerator, why, and what it means; as JSON for a script."""
    said = microvms.forge("microvm", "probe")
    assert re.search(r"^✓ Machines run here with \w+\.$", said.out, re.MULTILINE)
    assert "a real guest booted and answered" in said.out
    verdict = json.loads(microvms.forge("microvm", "probe", "--json").out)
    assert verdict["attempts"][-1]["works"] is True


@pytest.mark.vm
def test_an_image_that_is_there_is_not_built_again(microvms: House):
    """It says what it is made of, and with --verify that every byte is right."""
    said = microvms.forge("image", "build", "--verify")
    assert "Every byte is what was built." in said.out
    assert re.search(r"^base +built", microvms.forge("image", "list").out, re.MULTILINE)


def commands() -> Iterator[tuple[str, set[str]]]:
    """Every command there is, with its options, as typer itself lists them."""
    top = typer.main.get_command(app)
    for name, command in top.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        for sub, leaf in (inner or {"": command}).items():
            options = {o for p in leaf.params for o in p.opts if o.startswith("--")}
            yield f"forge {name} {sub}".strip(), options - {"--help"}


@pytest.mark.parametrize(("command", "options"), list(commands()))
def test_every_command_and_option_is_documented(command: str, options: set[str]):
    """docs/cli.md shows how each is called; its synopsis has each option."""
    blocks = re.findall(r"^```\n(forge .*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    synopsis = "\n".join(
        part
        for block in blocks
        for part in re.split(r"\n(?=forge )", block)
        if f"{part} ".replace("\n", " ").startswith(f"{command} ")
    )
    assert synopsis, f"{command} is not in docs/cli.md"
    assert set(re.findall(r"--[a-z0-9-]+", synopsis)) == options


def test_the_version_is_the_packages_own(house: House):
    """`forge --version` is what a bug report needs."""
    assert re.fullmatch(r"forge \d+\.\d+\.\d+\n", house.forge("--version").out)
