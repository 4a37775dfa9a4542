"""The fault matrix: a healthy shop and its backups, and one injection for each way in which a backup goes wrong."""
