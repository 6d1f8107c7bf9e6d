"""The runs room: a run's life from the wish to its last event; one task owns it.

The driver here is the only one that appends to the ledger. Orders, workers and conversations keep
tables through `forge.store`. It may not touch a database's driver, HTTP or settings.
"""
