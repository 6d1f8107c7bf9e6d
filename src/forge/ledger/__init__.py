"""The ledger room: an append-only, hash-chained record of every run, and folds of it.

Appending (`append.py`) is the driver's alone; reading (`read.py`) and folding (`fold.py`) are for
everyone above. It keeps tables through `forge.store` and may not touch models, tools or sandboxes.
"""
