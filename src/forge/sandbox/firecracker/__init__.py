"""The Firecracker provider: microVMs on KVM, cloned from snapshots that Firecracker itself takes.

`provider` is the door; `config` is pure; `api` asks one Firecracker process, `line` connects to its
guest over vsock, `launch` starts it, `warm` boots cold, `machine` owns a clone, `probe` finds out
whether a guest boots here. How it differs from QEMU is in `docs/providers.md`.
"""
