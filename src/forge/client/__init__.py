"""A client of the server's API: what the terminal asks with. It takes the server for a stranger:
all that comes from it is bounded and checked.
"""
