"""Throw-away servers for the demo, the integration tests and the benchmarks.

Every server is a context manager on 127.0.0.1 with a free port and a directory of its own, and stops
only what it started. ``python -m lab`` puts them together into a whole system.
"""
