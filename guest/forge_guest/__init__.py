"""What runs inside the machine: the agent (process 1) and the interpreter. Standard library only.

`wire` is the one module that the host shares; the host may import nothing else from here, and
nothing here may import from the host.
"""
