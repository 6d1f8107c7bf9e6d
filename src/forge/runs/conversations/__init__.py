"""Conversations: trees of messages, what was given and made in them, links that share them.

Knows users only by their ids. What a run did is the ledger's; here is what was said.
"""
