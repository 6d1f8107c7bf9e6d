"""Forge: an agent writes code and runs it in a microVM with its own kernel."""

__version__ = "0.1.0"
