"""The tools room: what a model may do, and how its wishes become calls on a sandbox.

It may use a sandbox through its contract only. Of models it knows one word, `ToolSpec`; it may not
touch the ledger, HTTP or the environment. Everything a model sends is checked before it is used.
"""
