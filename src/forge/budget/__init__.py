"""The budget room: what a call may cost at most, what it did cost, and when a run must stop.

Pure arithmetic over values, and the price table. It may not touch a database, a model or a clock.
"""
