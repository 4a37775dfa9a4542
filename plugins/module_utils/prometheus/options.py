# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that asks Prometheus, once. The doc fragment C(prometheus) says the same."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.runbook.ops.plugins.module_utils.http.options import http_argument_spec


def prometheus_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the connection: the address, and how to speak HTTP to it."""
    return {
        "url": {"type": "str", "required": True, "fallback": (env_fallback, ["PROMETHEUS_URL"])},
        **http_argument_spec("PROMETHEUS"),
    }
