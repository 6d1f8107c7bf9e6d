"""The QEMU provider: microVMs on KVM where it truly works, and under software emulation elsewhere.

`provider` is the door; `template` saves a warmed machine once, `machine` clones from it, `probe`
finds the accelerator, `monitor` speaks QMP to one QEMU process, `argv` is pure.
"""
