"""What every sandbox must do: the contract of `forge.sandbox.base` as checks to run.

For Forge's own providers and for a plug-in's. Each check is an async function of one sandbox
(`commands.CHECKS`, `code.CHECKS`, `files.CHECKS`) or of a provider (`life.CHECKS`); its docstring
is the promise, and an `AssertionError` means that it is broken. A check leaves nothing behind that
another would trip over, but a fresh machine for each is the simplest way to run them.
"""
