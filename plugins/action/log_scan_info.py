# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(runbook.ops.log_scan_info), without a process of its own where it runs on the controller."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.modules import log_scan_info
from ansible_collections.runbook.ops.plugins.plugin_utils.direct import DirectAction


class ActionModule(DirectAction):
    """Call the module here, or send it."""

    module = log_scan_info
