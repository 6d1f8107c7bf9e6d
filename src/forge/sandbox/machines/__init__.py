"""Machines on this host, whatever runs them: their life, what is saved of them, who may have them.

`provider` makes them and `machine` is one; `engine` is what both need of a VMM, and all that a room
like `qemu` has to bring. `template` and `saved` keep files, `keeper` gives them names.
"""
