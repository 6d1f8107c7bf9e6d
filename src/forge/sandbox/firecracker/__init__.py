"""Firecracker as an engine of machines: KVM alone, cloned from snapshots that it takes itself.

`provider` is the door and `engine` what `forge.sandbox.machines` asks. `config` is pure; `api` asks
one Firecracker process, `line` connects to its guest over vsock, `launch` starts it, `warm` boots
cold, `running` loads, saves and ends a machine, `probe` finds out whether a guest boots here.
"""
