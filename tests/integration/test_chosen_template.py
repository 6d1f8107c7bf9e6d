"""The template that a person chose: its machines are as it says, unless a setting differs."""

import shutil
from pathlib import Path

import pytest

from conftest import FORGE_HOME
from forge.errors import NameUnknown
from forge.sandbox.base import Limits
from forge.sandbox.images.config import TemplateConfig
from forge.sandbox.images.oci.build import Order
from forge.sandbox.images.oci.source import find_source
from forge.sandbox.images.stock import Images
from forge.sandbox.images.store import ImageStore
from forge.settings import read_settings
from forge.wiring import open_machines
from layouts import busybox_layer, write_layout

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("skopeo", "busybox")),
    reason="needs skopeo and a static busybox",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the default one's kernel and agent, and a template `mine` of busybox."""
    borrowed = ImageStore(FORGE_HOME).parts
    if not borrowed.is_dir():
        pytest.skip("needs the base image")
    parts = ImageStore(tmp_path / "home").parts
    parts.mkdir(parents=True)
    for path in borrowed.iterdir():
        (parts / path.name).symlink_to(path)
    return tmp_path / "home"


async def test_machines_are_as_large_as_their_template_says(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its own sizes, but where a setting is set; what is neither a template nor a snapshot is
    refused before anything is made.
    """
    layout = write_layout(tmp_path / "layout", busybox_layer())
    config = TemplateConfig.model_validate(
        {"sizes": {"memory_mib": 300, "processes": 64, "cpus": 2}}
    )
    own = Images(home).own
    own.keep(await own.build(Order("mine", find_source(str(layout), home), config), lambda _: None))
    monkeypatch.setenv("FORGE_HOME", str(home))
    monkeypatch.setenv("FORGE_TEMPLATE", "mine")
    monkeypatch.setenv("FORGE_PROCESSES", "99")
    monkeypatch.setenv("FORGE_DISK_MIB", "1024")  # as the default says: it is set all the same
    async with open_machines(read_settings(), lambda _: None) as machines:
        spec = await machines.spec()
        assert (spec.template, spec.limits) == ("mine", Limits(300, 1024, 99, cpus=2))
        with pytest.raises(NameUnknown, match=r"'nope'.* mine"):
            await machines.spec("nope")
