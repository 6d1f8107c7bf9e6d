"""What a collection keeps, beside what templates need."""

import json
from pathlib import Path

from forge.sandbox.images.oci.shelf import _saved_parts


def test_what_was_saved_keeps_the_images_it_starts_from(tmp_path: Path):
    """Paused machines and snapshots name their files; one that cannot be read names none."""
    image = {"agent": "agent-0123456789abcdef.img", "root": "root-fedcba9876543210.img"}
    for folder, name in (("machines", "sbx_1"), ("snapshots", "mine"), ("snapshots", "broken")):
        (tmp_path / folder / name).mkdir(parents=True)
        told = json.dumps({"image": image}) if name != "broken" else "{"
        (tmp_path / folder / name / "manifest.json").write_text(told)
        image = {"agent": image["agent"], "root": "root-aaaaaaaaaaaaaaaa.img"}
    assert _saved_parts(tmp_path) == {
        ("agent", "0123456789abcdef"),
        ("root", "fedcba9876543210"),
        ("root", "aaaaaaaaaaaaaaaa"),
    }
