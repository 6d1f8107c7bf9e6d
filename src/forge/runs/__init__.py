"""The runs room: a run's life from the wish to its last event; one task owns it.

The driver here is the only one that appends to the ledger. It may not touch SQL, HTTP or settings.
"""
