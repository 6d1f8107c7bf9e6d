"""The models room: one streamed call to a model, in Forge's own words (`base.py`).

Providers are sibling files. It may not touch tools, runs, the ledger or the environment; keys and
URLs are given to it. It never retries: one call is one attempt.
"""
