"""Whole machines: containers that boot systemd, with sshd, cron, journald and apt, in a network of their own."""

from lab.hosts.fleet import Fleet
from lab.hosts.machine import Host

__all__ = ["Fleet", "Host"]
