"""Processes that are the enemy: nothing outlives its deadline, nothing fills the agent, no number
leads to another's process, no terminal leads out of itself, and the machine goes on.
"""

import asyncio
import os
import signal

import pytest

from forge.errors import (
    GuestRefused,
    InputRefused,
    ProcessNotFound,
    SandboxDied,
    SandboxError,
    SandboxPaused,
    SandboxStopped,
)
from forge.sandbox.base import Sandbox, SandboxSpec
from forge.sandbox.commands import NO_DEADLINE, Command, Size
from forge.sandbox.output import Display, Output
from talking import Heard, pieces, shell

pytestmark = pytest.mark.vm


async def attempt(call) -> SandboxError | None:
    try:
        await call
    except SandboxError as error:
        return error
    return None


async def start(sandbox: Sandbox, script: str, *, root: bool = False, pty: Size | None = None):
    command = Command(("bash", "-c", script), NO_DEADLINE, user="root" if root else "user", pty=pty)
    return await sandbox.commands.start(command)


async def ending(sandbox: Sandbox, pid: int):
    heard = Heard()
    return await sandbox.commands.attach(pid, heard), heard


async def said(sandbox: Sandbox, pid: int, word: str) -> None:
    """Wait until a process has printed a word."""
    heard, there = "", asyncio.Event()

    async def listen(item: Output | Display) -> None:
        nonlocal heard
        heard += item.data.decode(errors="replace") if isinstance(item, Output) else ""
        if word in heard:
            there.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(sandbox.commands.attach(pid, listen))
        await there.wait()
        listening.cancel()


MOUNT = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
kind, target = sys.argv[1].encode(), sys.argv[2].encode()
done = libc.umount2(target, 2) if kind == b'none' else libc.mount(b'none', target, kind, 0, None)
sys.exit(-done)
"""

COUNT = """
mkdir -p /root/groups
python3 mount.py cgroup2 /root/groups
echo $(ls /proc/1/fd | wc -l) $(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l) \
  $(find /root/groups/work -mindepth 1 -type d | wc -l) $(grep VmRSS /proc/1/status | tr -dc 0-9)
python3 mount.py none /root/groups
"""


async def count(sandbox: Sandbox) -> tuple[int, int, int, int]:
    """The agent's descriptors, zombies, groups and KiB of memory."""
    await sandbox.files.write("mount.py", pieces(MOUNT.encode()))
    _, text = await shell(sandbox, f"cd /home/user; {COUNT}", root=True)
    descriptors, zombies, groups, kib = map(int, text.split())
    return descriptors, zombies, groups, kib


async def test_a_fork_bomb_in_the_background_can_be_ended(qemu: Sandbox):
    """It fills its limit; the agent goes on answering, and SIGKILL ends all of it."""
    pid = await start(qemu, "bomb() { bomb | bomb & }; bomb; sleep 300")
    await asyncio.sleep(2)
    assert [each.pid for each in await qemu.commands.list()] == [pid]
    await qemu.commands.signal(pid, signal.SIGKILL)
    result, _ = await ending(qemu, pid)
    assert result.signal == signal.SIGKILL
    assert (await shell(qemu, "pgrep -c bash; echo on", deadline_s=60))[1].split()[-1] == "on"
    _, left = await shell(qemu, "pgrep -u user -c bash", deadline_s=60)
    assert int(left) <= 1  # the one that counts


async def test_nobody_escapes_a_deadline(qemu: Sandbox):
    """Who forks away without end, in sessions of its own, is killed with the rest; so is what a
    background process left behind when it ended.
    """
    runner = """
import os, time
while True:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
    else:
        os.wait(); time.sleep(300)
    time.sleep(0.01)
"""
    await qemu.files.write("runner.py", pieces(runner.encode()))
    pid = await qemu.commands.start(Command(("python3", "runner.py"), 1.5))
    assert (await ending(qemu, pid))[0].timed_out
    daemon = await qemu.commands.start(Command(("bash", "-c", "setsid sleep 302 & exit 0"), 1.5))
    assert (await ending(qemu, daemon))[0].exit_code == 0
    left = "until ! pgrep -f '[r]unner.py|[s]leep 302'; do sleep 0.1; done"
    assert (await shell(qemu, left))[0].ok


async def test_floods_that_nobody_reads_fill_nothing(qemu: Sandbox):
    """Forty processes print without end on both streams, in large and tiny pieces: they are not
    held back, and the agent keeps the last of each, within its bound.
    """
    before = (await count(qemu))[3]
    tiny = "import os\nwhile True: os.write(1, b'o'); os.write(2, b'e')"
    pids = [await start(qemu, "yes & yes >&2") for _ in range(36)]
    pids += [
        await qemu.commands.start(Command(("python3", "-c", tiny), NO_DEADLINE)) for _ in range(4)
    ]
    await asyncio.sleep(15)
    after = (await count(qemu))[3]
    assert after - before < 64 * 1024
    for pid in pids:
        await qemu.commands.signal(pid, signal.SIGKILL)
    result, heard = await ending(qemu, pids[0])
    assert result.signal == signal.SIGKILL
    assert heard.outputs[0].dropped > 0
    assert sum(len(each.data) for each in heard.outputs) <= 1 << 20


async def test_ten_thousand_short_processes_leave_nothing(qemu: Sandbox):
    """Orphans, commands and background processes: no zombie, descriptor or group stays."""
    await shell(qemu, "true")
    before = await count(qemu)
    orphans = """
import os
for _ in range(5000):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
"""
    await qemu.files.write("orphans.py", pieces(orphans.encode()))
    result, text = await shell(qemu, "python3 orphans.py", deadline_s=240)
    assert result.ok, text
    for _ in range(50):
        await ending(qemu, await start(qemu, "true"))
        await ending(qemu, await start(qemu, "true", pty=Size()))
        await shell(qemu, "true")
        with pytest.raises(GuestRefused):
            await qemu.commands.start(Command(("no-such-program",), 5, pty=Size()))
    after = await count(qemu)
    assert after[:3] == before[:3]


async def test_a_number_that_was_given_to_another_leads_nowhere(qemu: Sandbox):
    """The kernel gives an ended process's number to a bystander: no signal reaches that one."""
    narrow = "echo 400 > /proc/sys/kernel/pid_max; for i in $(seq 350); do /bin/true; done"
    await shell(qemu, narrow, root=True, deadline_s=60)
    ours = await start(qemu, "exit 4")
    await ending(qemu, ours)
    heir = f"""
while :; do
  sleep 300 & [ $! = {ours} ] && break
  kill $!; wait $! 2>/dev/null
done
echo heir; wait; echo $?
"""
    bystander = await start(qemu, heir)
    await said(qemu, bystander, "heir")
    for number in (signal.SIGTERM, signal.SIGKILL):
        with pytest.raises(ProcessNotFound):
            await qemu.commands.signal(ours, number)
    with pytest.raises(ProcessNotFound):
        await qemu.commands.send(ours, b"x")
    assert (await ending(qemu, ours))[0].exit_code == 4
    _, text = await shell(qemu, f"grep -c sleep /proc/{ours}/comm")
    assert int(text) == 1


async def test_words_too_large_or_odd_are_refused_by_name(qemu: Sandbox):
    """Before they are sent, or by the machine, which goes on."""
    large = "x" * 100_000
    nap = ("sleep", "1")
    for command in (
        Command(("echo", large), 5),
        Command(nap, 5, env={"A": large}),
        Command(nap, 5, env={"A\0": "1"}),
        Command(nap, 5, env={"A": "\0"}),
        Command(("a\0",), 5),
        Command(nap, 5, cwd="/" + "y/" * 3000),
    ):
        with pytest.raises(InputRefused):
            await qemu.commands.start(command)
    for command in (Command(("",), 5), Command(nap, 5, cwd="/proc/self/nothing")):
        with pytest.raises(GuestRefused):
            await qemu.commands.start(command)
    odd = Command(("printf", "%s", "\udcff"), 5, env={"\udcfe": "\udcfd"}, tag="\udcfc")
    heard = Heard()
    assert (await qemu.commands.run(odd, heard)).ok
    assert heard.outputs[0].data == b"\xff"


async def test_tricks_with_a_terminal_stay_in_it(qemu: Sandbox):
    """Typing at oneself, other line disciplines, exclusive use, hanging up: the agent goes on, and
    the process ends as any other.
    """
    tricks = """
import fcntl, os, struct, termios, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def attempt(*words):
    try: fcntl.ioctl(0, *words)
    except OSError as error: pass
for letter in b'echo stuffed\\n': attempt(termios.TIOCSTI, bytes([letter]))
for kind in range(1, 30): attempt(termios.TIOCSETD, struct.pack('i', kind))
attempt(termios.TIOCSETD, struct.pack('i', 0))
attempt(termios.TIOCEXCL)
attempt(termios.TIOCPKT, struct.pack('i', 1))
attempt(termios.TIOCSWINSZ, struct.pack('HHHH', 65535, 65535, 65535, 65535))
os.write(1, b'tricked')
if sys.argv[1] == 'hang': attempt(0x5437)
for fd in ((0, 1, 2), (2, 0, 1), (1, 2, 0))[int(sys.argv[2])]: os.close(fd)
os._exit(7)
"""
    await qemu.files.write("tricks.py", pieces(tricks.encode()))
    for root in (False, True):
        for order in ("0", "1", "2"):
            heard = Heard()
            command = Command(
                ("python3", "tricks.py", "hang" if root else "stay", order), 20, pty=Size(),
                user="root" if root else "user", cwd="/home/user",
            )  # fmt: skip
            result = await qemu.commands.run(command, heard)
            assert result.exit_code == 7, heard.text
            assert root or "tricked" in heard.text
    assert await qemu.commands.list() == ()


async def test_a_terminal_that_nobody_reads_takes_so_much_and_no_more(qemu: Sandbox):
    """Input without end at a process that does not read is refused in time; others go on."""
    pid = await start(qemu, "stty raw -echo; echo ready; sleep 300", pty=Size())
    await said(qemu, pid, "ready")
    with pytest.raises(GuestRefused, match="did not take"):
        await qemu.commands.send(pid, b"x" * 2_000_000, deadline_s=1)
    await qemu.commands.signal(pid, signal.SIGKILL)
    assert (await ending(qemu, pid))[0].signal == signal.SIGKILL


async def test_what_lies_over_the_terminals_leads_nowhere(qemu: Sandbox):
    """Root covers `/dev/pts` with pipes and takes it away: terminals come from the kernel still."""
    await qemu.files.write("mount.py", pieces(MOUNT.encode()))
    mount = "python3 /home/user/mount.py"
    cover = f"{mount} tmpfs /dev/pts && mkfifo /dev/pts/ptmx /dev/pts/0 /dev/pts/1"
    take = f"{mount} none /dev/pts && {mount} none /dev/pts && rm -f /dev/ptmx && mkfifo /dev/ptmx"
    for ruin in (cover, take):
        result, text = await shell(qemu, ruin, root=True)
        assert result.ok, text
        heard = Heard()
        result = await qemu.commands.run(Command(("stty", "size"), 20, pty=Size(81, 25)), heard)
        assert result.ok
        assert heard.text == "25 81\r\n"


async def test_the_background_survives_a_new_host_and_the_foreground_does_not(qemu: Sandbox):
    """After a pause the new host finds the process, hears what it said before and steers it; what
    the old host waited for has ended.
    """
    pid = await start(qemu, "echo before; read word; echo $word; exit 8")
    begun = asyncio.Event()

    async def listen(_: Output | Display) -> None:
        begun.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        nap = Command(("sh", "-c", "echo; sleep 301"), 300)
        front = tasks.create_task(attempt(qemu.commands.run(nap, listen)))
        await begun.wait()
        await qemu.pause()
        assert isinstance(await front, SandboxPaused)
        assert [each.pid for each in await qemu.commands.list()] == [pid]
        await qemu.commands.send(pid, b"after\n")
        heard = Heard()
        assert (await qemu.commands.attach(pid, heard)).exit_code == 8
        assert heard.text == "before\nafter\n"
        result, text = await shell(qemu, "pgrep -x sleep")
        assert (result.exit_code, text) == (1, "")


async def test_a_caller_learns_why_a_command_ended(qemu_provider):
    """At its deadline, with its machine, or because the machine was stopped: never confused."""
    nap = Command(("sleep", "300"), 300)
    machine = await qemu_provider.create(SandboxSpec())
    result = await machine.commands.run(Command(nap.argv, 0.3), Heard())
    assert (result.timed_out, result.signal) == (True, signal.SIGKILL)
    pid = await machine.commands.start(nap)
    async with asyncio.TaskGroup() as tasks:
        calls = [machine.commands.run(nap, Heard()), machine.commands.attach(pid, Heard())]
        ends = [tasks.create_task(attempt(call)) for call in calls]
        await asyncio.sleep(0.5)
        os.kill(machine.pid, signal.SIGKILL)
    assert [type(end.result()) for end in ends] == [SandboxDied, SandboxDied]
    machine = await qemu_provider.create(SandboxSpec())
    async with asyncio.TaskGroup() as tasks:
        stopped = tasks.create_task(attempt(machine.commands.run(nap, Heard())))
        await asyncio.sleep(0.5)
        await machine.stop()
    assert type(stopped.result()) is SandboxStopped
