"""The one exception family of the lab."""

from __future__ import annotations


class LabError(Exception):
    """Something a person has to read: what was attempted, and what to do next."""


class MissingServer(LabError):
    """A program that is not installed; the message names what to install."""
