# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of what asks registries."""

from __future__ import annotations

from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.http.options import http_argument_spec

# A registry is logged in to by its own means, each by others.
_NOT_OURS = ("bearer_token", "url_username", "url_password", "headers")
_CREDENTIAL: dict[str, dict[str, Any]] = {
    "registry": {"type": "str", "required": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
}


def registry_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of C(registry_image_info)."""
    transport = {name: option for name, option in http_argument_spec().items() if name not in _NOT_OURS}
    return {
        "images": {"type": "list", "elements": "str", "required": True},
        "platforms": {"type": "list", "elements": "str", "default": []},
        "credentials": {"type": "list", "elements": "dict", "default": [], "options": _CREDENTIAL, "no_log": False},
        "docker_config": {"type": "path"},
        "insecure_registries": {"type": "list", "elements": "str", "default": []},
        "retry_seconds": {"type": "float", "default": 30},
        **transport,
    }
