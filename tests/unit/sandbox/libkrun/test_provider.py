"""A provider that tells the truth about a library it looks over in another process."""

import shutil
import subprocess
from pathlib import Path

import pytest

from forge.errors import HostUnfit, NoAccelerator, ProgramMissing
from forge.sandbox.base import SandboxSpec
from forge.sandbox.libkrun.examine import WANTED
from forge.sandbox.libkrun.library import Looked, describes_by_acpi, find_library, look
from forge.sandbox.libkrun.provider import LibkrunProvider, unfit

COMPILER = shutil.which("cc")
needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="the stand-in for libkrun is compiled, and there is no C compiler"
)
GOOD = Looked(missing=(), disks=True, context=True)


def compiled(home: Path, source: str) -> Path:
    """A library of this source, where the provider looks."""
    assert COMPILER is not None
    place = home / "lib" / "libkrun.so"
    place.parent.mkdir()
    (home / "krun.c").write_text(source)
    argv = [COMPILER, "-shared", "-fPIC", "-w", "-o", str(place), str(home / "krun.c")]
    subprocess.run(argv, check=True, timeout=60)
    return place


def krun(returned: int = 1) -> str:
    return "\n".join(f"int {name}() {{ return {returned}; }}" for name in WANTED)


async def test_a_missing_library_is_named(tmp_path: Path) -> None:
    """With how to get one; nothing else is tried."""
    with pytest.raises(ProgramMissing, match="libkrun is not installed") as caught:
        find_library(tmp_path, places=(str(tmp_path),))
    assert "docs/providers.md" in caught.value.hint


async def test_a_file_that_is_no_library_is_named(tmp_path: Path) -> None:
    """In the system's own words."""
    (tmp_path / "libkrun.so").write_bytes(b"not a library")
    with pytest.raises(HostUnfit, match=r"libkrun\.so cannot be used: .*(ELF|file too short)"):
        await look(tmp_path / "libkrun.so")


@needs_compiler
async def test_another_library_lacks_what_is_needed(tmp_path: Path) -> None:
    """Each function is named, so that a person knows which libkrun is too old."""
    library = compiled(tmp_path, "int krun_create_ctx() { return 0; }")
    looked = await look(library)
    assert looked.missing == tuple(name for name in WANTED if name != "krun_create_ctx")
    assert "krun_add_vsock_port2" in unfit(looked, tmp_path)


@needs_compiler
@pytest.mark.parametrize("code", ["abort();", 'puts("{}");', "_exit(0);"])
async def test_a_library_that_does_as_it_likes_ends_its_own_process(
    tmp_path: Path, code: str
) -> None:
    """It aborts, ends, or writes something else: Forge goes on, with an error that says so."""
    source = f"__attribute__((constructor)) void begin() {{ {code} }}"
    with pytest.raises(HostUnfit, match="cannot be used"):
        await look(compiled(tmp_path, source))


@needs_compiler
async def test_a_libkrun_that_cannot_boot_our_kernel_is_told_apart(tmp_path: Path) -> None:
    """Whole as it is, its guests find their devices in a way that Forge's kernel does not."""
    library = compiled(tmp_path, krun())
    assert await look(library) == GOOD
    assert not describes_by_acpi(library)
    provider = LibkrunProvider(tmp_path)
    verdict = await provider.probe()
    assert verdict.accelerator is None
    (attempt,) = verdict.attempts
    assert not attempt.works
    if Path("/dev/kvm").exists():
        assert "ACPI" in attempt.reason
    with pytest.raises(NoAccelerator, match="no machine of the template 'base'"):
        await provider.create(SandboxSpec())


def test_each_lack_has_its_words(tmp_path: Path) -> None:
    """The first that is true is said."""
    assert unfit(GOOD, tmp_path) == ""
    assert "without disks" in unfit(GOOD.model_copy(update={"disks": False}), tmp_path)
    assert "no machine's context" in unfit(GOOD.model_copy(update={"context": False}), tmp_path)
    assert "there is no" in unfit(GOOD, tmp_path / "kvm")
