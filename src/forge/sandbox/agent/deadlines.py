"""How long a guest may take, in seconds, beside the deadlines that callers give.

Read as `deadlines.NAME` at each use, so that they stand on one page and a test can shorten them.
"""

MARGIN_S = 10.0
"""Beyond a caller's deadline, to say so: two seconds of grace, and a slow host."""

QUICK_S = 15.0
"""For verbs that take milliseconds; this is for a machine that is out of memory."""

VOLUME_S = 30.0
"""To replay a volume's journal, or to write out what a machine still holds of it."""

STALL_S = 60.0
"""Between two pieces of a file."""

PREPARE_S = 240.0
"""To load the scientific stack, which takes about 10 s under emulation."""

CONTEXT_S = 65.0
"""To start a context's process: milliseconds for Python, two seconds for Node under emulation, on a
host whose cores are shared with many machines ten times that; the guest gives up after 60."""

DIAL_S = 20.0
"""To connect to a port: ten seconds for each of the machine's loopback addresses."""

WATCH_S = 30.0
"""Between two questions whether a machine is still there, while a call waits for it without end."""
