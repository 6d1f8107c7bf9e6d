"""The host's side of every verb, for any provider that can give a connected descriptor.

`connection` owns the line to one guest's agent; `commands`, `files`, `code` and `ports` speak the
contract's verbs over a `Line`; `call` is one call with its deadline; `answers`
checks what a guest says.
"""
