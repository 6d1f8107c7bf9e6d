"""A program: looks a shared library over for what Forge would ask of libkrun. One JSON object out.

    python -I examine.py LIBRARY

Loading a library runs its code, and libkrun is built to take its process over, so neither happens
in Forge's own process. Standard library only: it is started without Forge's packages.
"""

import ctypes
import json
import os
import sys

WANTED = (
    "krun_create_ctx",
    "krun_free_ctx",
    "krun_set_vm_config",
    "krun_set_kernel",
    "krun_add_disk2",
    "krun_add_vsock",
    "krun_add_vsock_port2",
    "krun_has_feature",
    "krun_start_enter",
)
"""Of libkrun's C interface: an own kernel, raw disks, and vsock without a way to the network."""

_BLOCK = 1  # KRUN_FEATURE_BLK


def examine(path: str) -> dict[str, object]:
    """What the library lacks, whether it was built with disks, and whether it makes a context.

    Raises:
        OSError: it cannot be loaded.
    """
    library = ctypes.CDLL(path, handle=_opened(path))
    missing = [name for name in WANTED if not hasattr(library, name)]
    if missing:
        return {"missing": missing, "disks": False, "context": False}
    library.krun_has_feature.argtypes = [ctypes.c_uint64]
    disks = library.krun_has_feature(_BLOCK) == 1
    context = library.krun_create_ctx()
    if context >= 0:
        library.krun_free_ctx(context)
    return {"missing": [], "disks": disks, "context": context >= 0}


def _opened(path: str) -> int:
    """Load a library as the linker does for a program: what is never called need not be there."""
    system = ctypes.CDLL(None)
    system.dlopen.restype = ctypes.c_void_p
    system.dlerror.restype = ctypes.c_char_p
    handle = system.dlopen(path.encode(), os.RTLD_LAZY)
    if not handle:
        raise OSError((system.dlerror() or b"it cannot be loaded").decode(errors="replace"))
    return int(handle)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(sys.argv[1])))
