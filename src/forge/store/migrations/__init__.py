"""The database's history, one file in `versions/` per change, run by `forge.store.migrate`."""
