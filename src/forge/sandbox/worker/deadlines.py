"""How long a worker may take, in seconds, beside what its machines are given.

Read as `deadlines.NAME` at each use, so that they stand on one page and a test can shorten them.
"""

CONNECT_S = 60.0
"""To log in and start Python there; ssh over a slow line takes a few seconds."""

PROBE_S = 180.0
"""To boot a guest on each accelerator, which takes up to 70 s."""

CREATE_S = 500.0
"""To make a machine, and its template first, or wait for another process that makes it."""

SAVE_S = 180.0
"""To pause, resume, snapshot or copy a machine: to write and read its memory on a slow disk."""

STOP_S = 30.0
"""To kill a VMM, which takes milliseconds; this is for a worker that is out of memory."""

CLOSE_S = 20.0
"""To stop every machine, which takes milliseconds each, and to exit; then it is killed."""

SETTLE_S = 2.0
"""From the end of its output to its own end and last words; milliseconds lie between."""
