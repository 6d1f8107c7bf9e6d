#!/usr/bin/python3.11 -ISB
"""The first program of the agent's root: process 1 of the machine."""

import sys

sys.path.insert(0, "/opt/forge")

from forge_guest.init import main  # noqa: E402  (its folder is only now on the path)

main()
