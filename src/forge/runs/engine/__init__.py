"""The engines: who sees to it that a run is carried out, here or by another process.

An engine delivers; it remembers nothing of a run that the ledger does not have. It may not touch
the ledger, models or machines: it is given `drive`, which does.
"""
