"""Processes that write logs, for tests that rotate them."""
