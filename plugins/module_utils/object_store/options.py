# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every object store module, once. The doc fragment C(object_store) says the same."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback


def object_store_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the connection; names and environment variables are amazon.aws's.

    An empty string means "not given", so that role variables may default to it.
    """
    return {
        "region": {"type": "str", "fallback": (env_fallback, ["AWS_REGION", "AWS_DEFAULT_REGION"])},
        # An access key's id is a name, not a secret; masking it would garble names that contain it.
        "access_key": {"type": "str", "no_log": False, "fallback": (env_fallback, ["AWS_ACCESS_KEY_ID"])},
        "secret_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SECRET_ACCESS_KEY"])},
        "session_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SESSION_TOKEN"])},
        "profile": {"type": "str", "fallback": (env_fallback, ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])},
        "endpoint_url": {"type": "str", "fallback": (env_fallback, ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])},
        "validate_certs": {"type": "bool", "default": True},
        "ca_bundle": {"type": "path", "fallback": (env_fallback, ["AWS_CA_BUNDLE"])},
        "connect_timeout": {"type": "float", "default": 5},
        "read_timeout": {"type": "float", "default": 20},
    }
