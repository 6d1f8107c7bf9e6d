"""The set-up scripts, as far as they can be tried without the systems they are for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_powershell
import yaml

import house

SCRIPTS = house.ROOT / "scripts"
SHELL = sorted(SCRIPTS.rglob("*.sh"))
LIMA = {
    "arch",
    "base",
    "containerd",
    "cpus",
    "disk",
    "memory",
    "minimumLimaVersion",
    "mounts",
    "provision",
}
"""Keys of Lima's template format that ours uses, as its own `default.yaml` documents them."""


@pytest.mark.parametrize("script", SHELL, ids=house.name)
def test_a_shell_script_has_nothing_for_shellcheck_to_say(script: Path):
    """Quoting, portability, and what shells forgive until they do not."""
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("there is no shellcheck here; scripts/setup-debian.sh installs it")
    said = subprocess.run(
        [program, script], check=False, capture_output=True, text=True, timeout=60
    )
    assert said.stdout == ""


@pytest.mark.parametrize("script", SHELL, ids=house.name)
def test_a_dry_run_says_what_it_would_do_and_does_nothing(script: Path, tmp_path: Path):
    """With nothing of this computer to do it with but what reading takes."""
    before = {path: path.stat().st_mtime_ns for path in house.ROOT.iterdir()}
    said = subprocess.run(
        [script, "--dry-run"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    assert all(line.startswith("setup: ") for line in said.stdout.splitlines())
    assert {path: path.stat().st_mtime_ns for path in house.ROOT.iterdir()} == before
    assert list(tmp_path.iterdir()) == []


def test_the_template_of_lima_is_one():
    """It parses, has keys that Lima knows, and gives the machine nothing of the Mac's."""
    template = yaml.safe_load((SCRIPTS / "macos" / "forge-worker.yaml").read_text())
    assert set(template) == LIMA
    assert template["mounts"] == []
    assert template["arch"] == "x86_64"
    (step,) = template["provision"]
    assert step["mode"] == "system"
    checked = subprocess.run(
        ["sh", "-n"], input=step["script"], check=False, capture_output=True, text=True, timeout=60
    )
    assert checked.stderr == ""


def test_the_powershell_script_parses():
    """By a grammar that is not Microsoft's: syntax, and no more."""
    grammar = tree_sitter.Language(tree_sitter_powershell.language())
    script = (SCRIPTS / "windows" / "setup.ps1").read_bytes()
    assert not tree_sitter.Parser(grammar).parse(script).root_node.has_error
    assert tree_sitter.Parser(grammar).parse(script + b"\nif (").root_node.has_error
    assert re.search(rb"\[switch\] \$DryRun", script)
