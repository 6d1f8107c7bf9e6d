"""The sandbox room: machines of their own kernel, behind one contract (`base.py`).

Providers are sibling packages (`qemu/`); what they share stands here.
This is the only room that starts host processes. It may use the guest's wire (`forge_guest.wire`),
never the rest of the guest; it knows nothing of models, runs, the ledger or settings.
"""
