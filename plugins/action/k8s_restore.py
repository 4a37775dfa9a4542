# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(runbook.ops.k8s_restore), whose progress is shown while it works and which can be interrupted."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.modules import k8s_restore
from ansible_collections.runbook.ops.plugins.plugin_utils.watched import WatchedAction


class ActionModule(WatchedAction):
    """Start the module and watch it; in check mode, call it here or send it."""

    module = k8s_restore
