"""QEMU as an engine of machines: KVM where it truly works, software emulation elsewhere.

`provider` is the door and `engine` what `forge.sandbox.machines` asks. `running` starts and saves
one QEMU, `making` makes templates, `probe` finds the accelerator, `monitor` speaks QMP; `argv` is
pure.
"""
