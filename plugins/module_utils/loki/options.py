# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that asks Loki, once. The doc fragment C(loki) says the same."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.runbook.ops.plugins.module_utils.http.options import http_argument_spec


def loki_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the connection; environment variables are those of C(logcli)."""
    return {
        "url": {"type": "str", "required": True, "fallback": (env_fallback, ["LOKI_ADDR"])},
        "tenant": {"type": "str", "fallback": (env_fallback, ["LOKI_ORG_ID"])},
        **http_argument_spec("LOKI"),
    }
