"""The libkrun provider: says whether this host could run machines under libkrun; runs none yet.

What stands between is Forge's kernel (`provider` says how). `library` looks a libkrun over in a
process of its own; `examine` is what that process runs. See `docs/providers.md`.
"""
