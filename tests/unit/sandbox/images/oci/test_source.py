"""What a person's words mean."""

from pathlib import Path

import pytest

from forge.errors import SourceRefused
from forge.sandbox.images.oci.source import find_base, find_source


def test_the_kind_is_told_by_what_is_there(tmp_path: Path):
    """A Dockerfile, its folder, a layout with and without a tag, and a name."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "l").mkdir()
    (tmp_path / "l/oci-layout").write_text("{}")
    assert find_source("d", tmp_path).kind == "dockerfile"
    assert find_source("d/Dockerfile", tmp_path).place == tmp_path / "d/Dockerfile"
    assert find_source("l", tmp_path).skopeo == f"oci:{tmp_path / 'l'}"
    assert find_source("l:v1", tmp_path).skopeo == f"oci:{tmp_path / 'l'}:v1"
    assert find_source("a.example/b/c:1", tmp_path).skopeo == "docker://a.example/b/c:1"
    assert find_base("oci:../l:v1", tmp_path / "d").place == tmp_path / "l"


@pytest.mark.parametrize(
    "words", ["./nowhere", "/nowhere", "--policy=x", "a b", "x:y:z", "dir:/etc"]
)
def test_what_is_not_there_is_refused(tmp_path: Path, words: str):
    """Nor does a word become an option or a transport of skopeo's."""
    with pytest.raises(SourceRefused, match="nothing to build"):
        find_source(words, tmp_path)


@pytest.mark.parametrize("words", ["dir:/etc", "docker-archive:/etc/shadow", "oci:/nowhere"])
def test_a_dockerfile_starts_from_no_other_transport(tmp_path: Path, words: str):
    """Only names of images, and layouts."""
    with pytest.raises(SourceRefused):
        find_base(words, tmp_path)


def test_the_stamp_changes_with_the_context(tmp_path: Path):
    """A file that is new or changed makes another build of it."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    before = find_source(".", tmp_path).stamp()
    assert find_source(".", tmp_path).stamp() == before
    (tmp_path / "new").write_text("x")
    assert find_source(".", tmp_path).stamp() != before


def test_a_giant_context_is_refused(tmp_path: Path):
    """Someone put a Dockerfile into their home."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SourceRefused, match="holds more than"):
        find_source(".", tmp_path).stamp()
