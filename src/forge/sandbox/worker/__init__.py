"""Machines elsewhere: the `worker` provider, and the other end, which `forge microvm serve` is.

Anything that starts a command and carries its standard input and output is a way to a worker. What
travels is `forge_guest.wire`; docs/worker.md is the contract. This room knows no VMM: a worker
serves whatever provider it is given.
"""
