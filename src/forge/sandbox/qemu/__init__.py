"""The QEMU provider: microVMs on KVM where it truly works, and under software emulation elsewhere.

`provider` is the door; `template` saves a warmed machine once, `machine` clones from it, `probe`
finds the accelerator, `vmm` owns one QEMU process, `monitor` speaks QMP to it, `argv` is pure.
"""
