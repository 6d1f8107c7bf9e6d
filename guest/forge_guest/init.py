"""Process 1 of the machine: mounts what is needed, then answers the host until it goes away.

When this process ends the kernel panics and, told so on its command line, restarts, which ends the
machine: an agent that fails is a machine that is gone, never one half alive.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path

from forge_guest import cgroups, line, linux, mounts, options
from forge_guest.serve import serve

_KEPT = 4 * 1024 * 1024  # of memory: a few frames on each of a few streams
_FILES = 8192  # descriptors: every stream the host may open, with a process of three pipes on each


def main() -> None:
    """Set up the machine and serve."""
    told = options.read()
    port = options.vsock_port(told)
    linux.keep_memory(_KEPT)
    # The agent is the last process the kernel may kill when memory runs out.
    Path("/proc/self/oom_score_adj").write_text("-1000")
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    mounts.loopback_up()
    mounts.mount_root(told["rootfs"])
    cgroups.set_up()
    os.chdir("/")
    asyncio.run(serve(line.serial() if port is None else line.vsock(port)))
    sys.exit(1)
