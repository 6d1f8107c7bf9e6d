"""Fresh randomness for every generator that lives in this process.

A fork or a restored copy of a machine repeats whatever its generators would have said next. The
kernel's generator has been renewed by then; everything here draws from it.
"""

import os
import random
import sys


def renew() -> None:
    """Reseed what is loaded; what is not loaded seeds itself from the kernel when it is."""
    random.seed(int.from_bytes(os.urandom(64), "big"))  # from a number: without hashing first
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.__dict__["_name_sequence"] = None  # it holds a generator
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid.__dict__.update(_node=None, _last_timestamp=None)  # uuid1's host part and clock
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        ssl.RAND_add(os.urandom(64), 64.0)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # Setting the state runs a third of the code that seeding from an array does, which under
        # emulation is what it costs.
        state = sys.modules["numpy"].frombuffer(os.urandom(2496), "u4")
        numpy_random.set_state(("MT19937", state, 624))
