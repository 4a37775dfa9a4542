"""The watched action of a module that is there for tests only."""

from __future__ import annotations

from ansible_collections.lab.slow.plugins.modules import count_slowly
from ansible_collections.runbook.ops.plugins.plugin_utils.watched import WatchedAction


class ActionModule(WatchedAction):
    """As the collection's own, with less patience."""

    module = count_slowly
    stop_patience_seconds = 4.0
