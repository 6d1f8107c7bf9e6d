"""Templates of one's own, for real: built with skopeo and buildah, and booted.

Images are written by hand, from Debian's static busybox; the one with a Python is the base
template's own root. Nothing is fetched from a registry.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conftest import FORGE_HOME
from forge.errors import GuestRefused, NameUnknown, SourceRefused, TemplateNotReady
from forge.sandbox.base import Sandbox
from forge.sandbox.commands import Command
from forge.sandbox.images.config import TemplateConfig
from forge.sandbox.images.oci.build import Order
from forge.sandbox.images.oci.container import Builder
from forge.sandbox.images.oci.shelf import Made
from forge.sandbox.images.oci.source import find_source
from forge.sandbox.images.process import Programs
from forge.sandbox.images.stock import Images
from forge.sandbox.images.store import ImageStore
from forge.sandbox.machines.provider import MachineProvider
from forge.sandbox.output import Display, Output
from forge.sandbox.qemu.provider import open_provider
from forge.wiring import spec_of
from layouts import busybox_layer, layer, write_layout

HERE = Path(__file__).parents[2]
BUILDER = """
import asyncio, sys
from pathlib import Path
from forge.sandbox.images.config import TemplateConfig
from forge.sandbox.images.oci.build import Order
from forge.sandbox.images.oci.source import find_source
from forge.sandbox.images.stock import Images
from forge.wiring import spec_of

home, source = map(Path, sys.argv[1:])
order = Order("mine", find_source(str(source), Path.cwd()), TemplateConfig())
made = asyncio.run(Images(home).own.build(order, lambda step: print(step, flush=True)))
print(made.root.key, made.built_ns)
"""

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("buildah", "skopeo", "busybox")),
    reason="needs buildah, skopeo and a static busybox",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the parts of the default one, and nothing else."""
    borrowed = ImageStore(FORGE_HOME).parts
    if not borrowed.is_dir():
        pytest.skip("needs the base image")
    parts = ImageStore(tmp_path / "home").parts
    parts.mkdir(parents=True)
    for path in borrowed.iterdir():
        if not path.name.startswith("root-"):
            (parts / path.name).symlink_to(path)
    return tmp_path / "home"


async def build(home: Path, source: str | Path, name: str = "mine", **config: Any) -> Made:
    order = Order(name, find_source(str(source), home), TemplateConfig.model_validate(config))
    return await Images(home).own.build(order, lambda _: None)


def dockerfile(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(text)
    return folder


def roots(home: Path) -> list[Path]:
    return [path for path in ImageStore(home).parts.iterdir() if path.name.startswith("root-")]


def clean(home: Path) -> bool:
    """No work folder, nothing in the temporary folder."""
    work = ImageStore(home).work
    return not work.exists() and not work.is_symlink()


async def test_the_same_layers_are_one_root_whatever_they_are_called(home: Path, tmp_path: Path):
    """From a layout, and from a Dockerfile that adds nothing, under two names."""
    layout = write_layout(tmp_path / "layout", busybox_layer())
    first = await build(home, layout)
    second = await build(home, f"{layout}:latest", "other", preload=["json"])
    third = await build(home, dockerfile(tmp_path / "d", f"FROM oci:{layout}:latest\n"), "third")
    assert first.root == second.root == third.root
    assert len(roots(home)) == 2  # the root and its facts
    assert clean(home)


async def test_building_a_dockerfile_again_makes_the_same_root(home: Path, tmp_path: Path):
    """Times are not part of it, so a template that is built again warms no other machine."""
    layout = write_layout(tmp_path / "layout", busybox_layer())
    folder = dockerfile(tmp_path / "d", f"FROM oci:{layout}\nCOPY x /x\nRUN echo made > /made\n")
    (folder / "x").write_text("copied")
    first = await build(home, folder)
    second = await build(home, folder)
    assert first.root.key == second.root.key
    assert first.built_ns != second.built_ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM oci:LAYOUT\nRUN exit 7\n", "does not build"),
        ("FROM oci:LAYOUT\nNONSENSE x\n", "does not build"),
        ("FROM oci:LAYOUT\nCOPY missing /\n", "does not build"),
        ("FROM oci:LAYOUT:nowhere\n", "could not be fetched"),
        ("FROM scratch\nCOPY Dockerfile /\n", "no shell"),
        ("FROM localhost:1/none\n", "could not be fetched"),
    ],
)
async def test_what_cannot_be_built_says_why_and_leaves_nothing(
    home: Path, tmp_path: Path, text: str, message: str
):
    """A line that fails, a file or an image that is not there, no shell: only the log stays."""
    layout = write_layout(tmp_path / "layout", busybox_layer())
    folder = dockerfile(tmp_path / "d", text.replace("LAYOUT", str(layout)))
    with pytest.raises(SourceRefused, match=message):
        await build(home, folder)
    assert roots(home) == []
    assert clean(home)
    assert Images(home).own.names() == ()


async def test_a_damaged_layout_is_refused(home: Path, tmp_path: Path):
    """A blob that is not what its name says."""
    layout = write_layout(tmp_path / "layout", busybox_layer())
    for blob in (layout / "blobs/sha256").iterdir():
        if blob.stat().st_size > 100_000:
            blob.write_bytes(blob.read_bytes()[:-100])
    with pytest.raises(SourceRefused, match="could not be fetched"):
        await build(home, layout)
    assert clean(home)


async def test_run_lines_are_shut_in(home: Path, tmp_path: Path):
    """Nobody's user id, no network but a loopback that is down, no devices of the host, nothing of
    the host's that is closed to strangers, and no process of the host to signal.
    """
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    secret.chmod(0o600)
    attack = (
        "mkdir /out; cat /proc/self/uid_map > /out/ids; ls /dev > /out/dev; "
        "tail -n +3 /proc/net/dev > /out/net; "
        f"kill -0 {os.getpid()} 2> /dev/null && echo reached > /out/signal; "
        f"cat /proc/{os.getpid()}/root{secret} /proc/1/root{secret} > /out/secret 2> /dev/null; "
        "mknod /out/disk b 254 0 2> /dev/null && echo made > /out/device; exit 0"
    )
    layout = write_layout(tmp_path / "layout", busybox_layer())
    folder = dockerfile(tmp_path / "d", f"FROM oci:{layout}\nRUN {attack}\n")
    work = tmp_path / "work"
    work.mkdir()
    tmp_path.chmod(0o711)
    for above in tmp_path.parents:
        if above.name.startswith(("pytest-", "popen-")):  # pytest's own, one or two or three
            above.chmod(0o711)
    builder = Builder(Programs(tmp_path / "log"), work, network=False)
    out = await builder.build(find_source(str(folder), tmp_path))
    from forge.sandbox.images.oci.build import BOUNDS
    from forge.sandbox.images.oci.finish import read_file
    from forge.sandbox.images.oci.pulled import read_pulled
    from forge.sandbox.images.oci.tree import File, flatten

    tree = flatten(read_pulled(out).layers, BOUNDS)

    def text(name: str) -> str:
        node = tree.at(f"out/{name}")
        return read_file(node).decode() if isinstance(node, File) else ""

    inside, outside, count = map(int, text("ids").split())
    assert (inside, count) == (0, 65536)
    assert outside >= 100_000
    assert not {"vda", "kvm", "mem", "loop0", "kmsg"} & set(text("dev").split())
    assert all(line.strip().startswith("lo:") for line in text("net").splitlines())
    assert (text("signal"), text("secret"), text("device")) == ("", "", "")


async def test_builders_that_wait_for_the_same_build_once(home: Path, tmp_path: Path):
    """Two processes want it at once: the second takes what the first made."""
    layout = write_layout(tmp_path / "layout", busybox_layer())
    slow = dockerfile(tmp_path / "d", f"FROM oci:{layout}\nRUN sleep 2\n")
    said = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", BUILDER, str(home), str(slow)), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    outs = [(await child.communicate())[0].decode().splitlines()[-1] for child in said]
    assert outs[0] == outs[1]


async def test_a_killed_build_leaves_nothing_that_matters(home: Path, tmp_path: Path):
    """Kill -9 while a RUN line runs: its processes end, and the next build tidies up."""
    layout = write_layout(tmp_path / "layout", busybox_layer())
    mark = f"9{os.getpid()}"
    slow = dockerfile(tmp_path / "d", f"FROM oci:{layout}\nRUN sleep {mark}\n")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BUILDER, str(home), str(slow), stdout=asyncio.subprocess.DEVNULL
    )
    await _until(lambda: _runs(mark))
    child.send_signal(signal.SIGKILL)
    await child.wait()
    await _until(lambda: not _runs(mark))
    assert roots(home) == []
    left = ImageStore(home).work / "trees"
    assert left.is_symlink()
    trees = left.readlink()
    await build(home, layout)
    assert clean(home)
    assert not trees.exists()


def _runs(mark: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().split(b"\0")[:2] == [b"sleep", mark.encode()]:
                return True
    return False


async def _until(holds: Any) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  (other processes)
            await asyncio.sleep(0.05)


async def test_gc_removes_what_nothing_needs_and_no_more(home: Path, tmp_path: Path):
    """A replaced root goes, also while a reader has it open; what a template needs stays."""
    images = Images(home)
    kept = await build(home, write_layout(tmp_path / "a", busybox_layer()), "kept")
    images.own.keep(kept)
    old = await build(home, write_layout(tmp_path / "b", busybox_layer(("x", b"old"))))
    images.own.keep(old)
    new = await build(home, write_layout(tmp_path / "c", busybox_layer(("x", b"new"))))
    images.own.keep(new)
    old_root = images.own._store.path("root", old.root.key, "img")
    with old_root.open("rb") as open_file:
        gone = await images.own.gc(lambda: None)
        assert open_file.read(4) == b"hsqs"
    assert not old_root.exists()
    assert gone.files >= 2
    for name in ("kept", "mine"):
        assert images.find(name).whole()
    images.own.remove("mine")
    await images.own.gc(lambda: None)
    assert len(roots(home)) == 2
    with pytest.raises(NameUnknown):
        images.find("mine")


class Bench:
    """A provider over a home, and what its machines print."""

    def __init__(self, home: Path, provider: MachineProvider, images: Images) -> None:
        self.home, self.provider, self.images = home, provider, images

    async def template(self, source: Path, **config: Any) -> Made:
        wanted = TemplateConfig.model_validate(config)
        order = Order("mine", find_source(str(source), self.home), wanted)
        made = await self.images.own.build(order, lambda _: None)
        self.images.own.keep(made)
        return made

    async def machine(self) -> Sandbox:
        return await self.provider.create(spec_of(self.images, "mine", memory_mib=512))


@pytest.fixture
async def bench(home: Path) -> AsyncIterator[Bench]:
    images = Images(home)
    shutil.copytree(FORGE_HOME / "probe", home / "probe") if (FORGE_HOME / "probe").is_dir() else 0
    for path in ImageStore(FORGE_HOME).parts.glob("root-*"):
        (ImageStore(home).parts / path.name).symlink_to(path)
    for path in ImageStore(FORGE_HOME).folder.glob("base-*.json"):
        shutil.copy(path, ImageStore(home).folder)
    async with open_provider(home, images.find, lambda _: None) as provider:
        yield Bench(home, provider, images)


async def said(machine: Sandbox, script: str, **fields: Any) -> str:
    kept = bytearray()

    async def keep(item: Output | Display) -> None:
        if isinstance(item, Output):
            kept.extend(item.data)

    await machine.commands.run(Command(("/bin/sh", "-c", script), 20, **fields), keep)
    return kept.decode().strip()


async def _ignore(_: Output | Display) -> None:
    """Nobody looks."""


@pytest.mark.vm
async def test_an_image_of_one_program_runs_commands_and_files_and_keeps_its_server(
    bench: Bench, tmp_path: Path
):
    """Busybox alone, bent mount points, an ENV: two clones of it have the started process alive,
    each its own; code is refused with the reason.
    """
    layout = write_layout(
        tmp_path / "layout",
        busybox_layer(("tmp", "/"), ("run", "/proc"), ("etc/machine-id", "/proc/1/root")),
        config={"Env": ["GREETING=hello", "PATH=/bin"]},
    )
    start = "echo begun; while :; do echo beat >> /home/user/beats; busybox sleep 0.1; done"
    await bench.template(
        layout, warming={"start": start, "ready": "busybox test -s /home/user/beats"}
    )
    one, two = await bench.machine(), await bench.machine()
    for machine in (one, two):
        assert await said(machine, "echo $GREETING $SHELL; busybox id -un") == "hello /bin/sh\nuser"
        before = await said(machine, "busybox wc -l < /home/user/beats; busybox sleep 1")
        assert int(await said(machine, "busybox wc -l < /home/user/beats")) > int(before)
        assert await said(machine, "busybox cat /tmp/forge-start.log") == "begun"
        with pytest.raises(GuestRefused, match="no Python"):
            await machine.code.run("1", _ignore, deadline_s=5)
    assert await said(one, "busybox cat /etc/machine-id") != await said(
        two, "busybox cat /etc/machine-id"
    )
    await one.stop()
    assert await said(two, "echo alive") == "alive"
    await two.stop()


@pytest.mark.vm
async def test_a_template_that_is_not_ready_says_what_was_printed(bench: Bench, tmp_path: Path):
    """A start command that fails is told at once; a check that never succeeds, at its deadline."""
    layout = write_layout(tmp_path / "layout", busybox_layer(), config={"Env": ["PATH=/bin"]})
    await bench.template(
        layout,
        warming={
            "start": "echo no such port >&2; exit 3",
            "ready": "false",
            "ready_deadline_s": 500,
        },
    )
    with pytest.raises(TemplateNotReady, match=r"exit code 3: no such port"):
        await bench.machine()
    await bench.template(layout, warming={"ready": "echo not yet; exit 1", "ready_deadline_s": 1.5})
    with pytest.raises(TemplateNotReady, match=r"within 1.5 s; it said: not yet"):
        await bench.machine()


@pytest.mark.vm
async def test_an_image_with_python_runs_code_with_what_it_preloads(bench: Bench, tmp_path: Path):
    """Debian's Python out of an image, at another place on the image's own path, as root of
    nothing: its modules are loaded, and code keeps its variables.
    """
    tree = tmp_path / "tree"
    bench_root = bench.images.find("base").root
    for wanted in ("usr", "bin", "lib", "lib64", "etc"):
        unpack = await asyncio.create_subprocess_exec(
            *("unsquashfs", "-quiet", "-no-progress", "-force", "-d", str(tree)),
            *(str(bench_root), wanted),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await unpack.wait()
    shutil.rmtree(tree / "usr/local/lib/python3.11", ignore_errors=True)
    tar = tmp_path / "root.tar"
    pack = await asyncio.create_subprocess_exec("tar", "-cf", str(tar), "-C", str(tree), ".")
    assert await pack.wait() == 0
    layout = write_layout(tmp_path / "layout", tar.read_bytes(), layer(("opt/mine.py", b"X = 42")))
    made = await bench.template(layout, preload=["json", "missing_module"])
    assert (made.python, made.interpreter) == ("3.11", True)
    machine = await bench.machine()
    result = await machine.code.run(
        "import sys; sys.path.append('/opt'); import mine; a = mine.X; 'json' in sys.modules",
        _ignore,
        deadline_s=20,
    )
    assert result.status == "ok", result.error
    assert (await machine.code.run("assert a == 42", _ignore, deadline_s=20)).status == "ok"
    await machine.stop()
