"""Which of the host's sources an image is built from."""

from pathlib import Path

import pytest

from forge.sandbox.images.debian import host_sources, installed_versions

RELEASE = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n'
MODERN = """# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://vendor.example/apt
Suites: stable
Components: main
"""
CLASSIC = """# deb http://old.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main non-free
deb http://security.example/debian-security bookworm-security main # yes
deb http://vendor.example/ ./
"""


def host(folder: Path, release: str = RELEASE, modern: str = "", classic: str = "") -> Path:
    apt = folder / "apt" / "sources.list.d"
    apt.mkdir(parents=True)
    (folder / "os-release").write_text(release)
    (apt / "debian.sources").write_text(modern)
    (apt.parent / "sources.list").write_text(classic)
    return folder


def test_stanzas_give_their_debian_suites_with_their_key(tmp_path):
    """Sources, backports, disabled stanzas and other vendors are left out; only main is taken."""
    start = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert host_sources("bookworm", host(tmp_path, modern=MODERN)) == (
        f"{start} http://mirror.example/debian bookworm main",
        f"{start} http://mirror.example/debian bookworm-updates main",
    )


def test_lines_give_their_debian_suites_with_their_key(tmp_path):
    """The older format is read the same way."""
    assert host_sources("bookworm", host(tmp_path, classic=CLASSIC)) == (
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main",
        "deb http://security.example/debian-security bookworm-security main",
    )


@pytest.mark.parametrize(
    "release", ["", "ID=ubuntu\nVERSION_CODENAME=bookworm\n", "ID=debian\nVERSION_CODENAME=sid\n"]
)
def test_another_system_lends_no_sources(tmp_path, release):
    """There, mmdebstrap's default mirrors serve."""
    assert host_sources("bookworm", host(tmp_path, release, MODERN, CLASSIC)) == ()


def test_updates_without_the_suite_itself_are_not_enough(tmp_path):
    """A host that keeps its main source somewhere unreadable to us leaves it to the default."""
    classic = "deb http://mirror.example/debian bookworm-updates main\n"
    assert host_sources("bookworm", host(tmp_path, classic=classic)) == ()


def test_a_host_without_apt_lends_no_sources(tmp_path):
    """Missing files are no error."""
    assert host_sources("bookworm", tmp_path) == ()


def test_versions_come_out_of_the_status_file():
    """Package and version of each stanza, whatever else it says."""
    status = "Package: git\nStatus: ok\nVersion: 1:2.39\n\nPackage: jq\nVersion: 1.6\n\n\n"
    assert installed_versions(status) == {"git": "1:2.39", "jq": "1.6"}
