"""Fakes, scripted servers and conformance suites: real, small implementations of each seam.

For Forge's own tests and for authors of plug-ins. The product never imports it.
"""
