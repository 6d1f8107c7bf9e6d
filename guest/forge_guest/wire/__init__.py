"""The wire: the one thing host and guest share, spoken over any reliable stream of bytes.

`frames` cuts the byte stream into frames, `session` says which frames are legal (pure, no I/O),
`channel` moves them with asyncio. Both ends run this very code. Standard library only.

The host begins every connection with `HELLO`, at which the guest forgets whatever a former
connection left behind: a machine restored from a template or a snapshot has a new host.

A connection carries many streams. Whoever opens a stream sends a request (`OPEN`, a JSON object
with a `verb`); then both sides send data and messages until each has finished. Every payload is
paid for with credit that the receiver granted, so a side that does not read stops the other side
from sending on that stream, and on no other.

Whatever breaks these rules raises `WireError`. The host then destroys the machine; the guest's
agent exits, which ends the machine too.
"""
