"""OCI images written by hand, honest and not: layers as tars, and the layout around them."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

BUSYBOX = shutil.which("busybox")


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    """One header; `mode` and the like as TarInfo names them."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o755
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def layer(*items: tuple[str, Any]) -> bytes:
    """A layer: (name, bytes) is a file, (name, str) a symlink, (name, None) a folder, and
    (name, TarInfo) whatever it says.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, what in items:
            if isinstance(what, bytes):
                archive.addfile(entry(name, size=len(what)), io.BytesIO(what))
            elif isinstance(what, str):
                archive.addfile(entry(name, tarfile.SYMTYPE, linkname=what))
            elif what is None:
                archive.addfile(entry(name, tarfile.DIRTYPE))
            else:
                archive.addfile(what)
    return buffer.getvalue()


def busybox_layer(*more: tuple[str, Any]) -> bytes:
    """A root of one static program, a shell among other things."""
    assert BUSYBOX is not None
    return layer(
        ("bin/busybox", Path(BUSYBOX).read_bytes()),
        ("bin/sh", "busybox"),
        *more,
    )


def _blob(folder: Path, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def write_layout(folder: Path, *layers: bytes, **config: Any) -> Path:
    """An OCI layout with one image, tagged `latest`. `config` goes over the image's config."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    zipped = [gzip.compress(each, compresslevel=1, mtime=0) for each in layers]
    diff_ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        **config,
    }
    kind = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}manifest.v1+json",
        "config": {
            "mediaType": f"{kind}config.v1+json",
            **_blob(blobs, json.dumps(image).encode()),
        },
        "layers": [
            {"mediaType": f"{kind}layer.v1.tar+gzip", **_blob(blobs, each)} for each in zipped
        ],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": f"{kind}manifest.v1+json",
                **_blob(blobs, json.dumps(manifest).encode()),
                "annotations": {"org.opencontainers.image.ref.name": "latest"},
            }
        ],
    }
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def write_pulled(folder: Path, *layers: bytes, **config: Any) -> Path:
    """What skopeo leaves of an image: uncompressed layers, each by its hash."""
    folder.mkdir()
    diff_ids = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        **config,
    }
    manifest = {
        "config": _blob(folder, json.dumps(image).encode()),
        "layers": [_blob(folder, each) for each in layers],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
