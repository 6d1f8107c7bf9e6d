"""The terminal: words in, words out; the only room that prints.

Imports are lazy so that `--help` is quick. It may use everything below through `forge.wiring`.
"""
