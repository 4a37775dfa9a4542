"""Whole machines: containers that boot systemd, with sshd, cron, journald and apt, in a network of their own."""
