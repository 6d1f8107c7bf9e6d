"""An image as a builder left it: everything in it is checked."""

import json
from pathlib import Path

import pytest

from forge.errors import SourceRefused
from forge.sandbox.images.oci.pulled import read_pulled
from layouts import layer, write_pulled

LAYERS = (layer(("a", b"1")), layer(("b", b"2")))


def test_layers_and_environment_are_read(tmp_path: Path):
    """In their order; whose home it is is the machine's to say."""
    config = {"Env": ["PATH=/bin", "A=b=c", "HOME=/root"]}
    pulled = read_pulled(write_pulled(tmp_path / "image", *LAYERS, config=config))
    assert [path.read_bytes() for path in pulled.layers] == list(LAYERS)
    assert pulled.env == {"PATH": "/bin", "A": "b=c"}


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": "arm64"},
        {"os": "windows"},
        {"rootfs": {"type": "layers", "diff_ids": []}},
        {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 2}},
        {"rootfs": {"type": "layers", "diff_ids": ["md5:0"]}},
        {"config": {"Env": ["1 2=x"]}},
        {"config": {"Env": ["A=" + "x" * 9000]}},
        {"config": {"Env": [f"A{number}=" for number in range(300)]}},
        {"config": 7},
    ],
)
def test_a_config_that_cannot_be_used_is_refused(tmp_path: Path, config):
    """For another computer, about other layers, or with an absurd environment."""
    folder = write_pulled(tmp_path / "image", *LAYERS, **config)
    with pytest.raises(SourceRefused):
        read_pulled(folder)


def test_a_changed_layer_is_refused(tmp_path: Path):
    """Its hash is part of the root's key, so it must be true."""
    folder = write_pulled(tmp_path / "image", *LAYERS)
    manifest = json.loads((folder / "manifest.json").read_text())
    name = manifest["layers"][1]["digest"].removeprefix("sha256:")
    (folder / name).write_bytes(LAYERS[0])
    with pytest.raises(SourceRefused, match="damaged"):
        read_pulled(folder)


@pytest.mark.parametrize("digest", ["sha256:../../etc/passwd", "sha256:" + "0" * 64, 5])
def test_a_manifest_names_only_files_beside_it(tmp_path: Path, digest):
    """No path, no missing blob."""
    folder = write_pulled(tmp_path / "image", *LAYERS)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["layers"][0]["digest"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SourceRefused):
        read_pulled(folder)


def test_a_blob_that_is_a_symlink_is_refused(tmp_path: Path):
    """It could be any file of the host."""
    folder = write_pulled(tmp_path / "image", *LAYERS)
    manifest = json.loads((folder / "manifest.json").read_text())
    blob = folder / manifest["layers"][0]["digest"].removeprefix("sha256:")
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceRefused, match="lacks"):
        read_pulled(folder)


def test_a_giant_manifest_is_not_read(tmp_path: Path):
    """Its size is looked at first."""
    folder = write_pulled(tmp_path / "image", *LAYERS)
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(SourceRefused, match="too large"):
        read_pulled(folder)
