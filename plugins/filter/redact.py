# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data without secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
name: redact
short_description: Mask secrets in data and text
version_added: 0.1.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Masks the values of keys that look like secrets (C(password), C(api_key), C(AWS_SECRET_ACCESS_KEY) and the like),
    passwords in URLs, bearer tokens, assignments such as C(password=...), well-known token shapes and known secrets,
    in nested data and in text.
  - It is a net below C(no_log), not a replacement for it.
options:
  _input:
    description: Any data.
    type: raw
    required: true
  secrets:
    description: Secrets that are known. They are masked wherever they occur, also URL-encoded.
    type: list
    elements: str
    default: []
  keys:
    description: Further keys whose values are masked.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Keep the evidence without its secrets
  ansible.builtin.copy:
    content: "{{ evidence | runbook.ops.redact(secrets=[redis_login_password]) | to_nice_json }}"
    dest: /var/lib/reports/evidence.json
    mode: "0600"
"""

RETURN = r"""
_value:
  description: The data with C(********) in place of secrets.
  type: raw
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils import redact as redacting
from ansible_collections.runbook.ops.plugins.plugin_utils.filtering import filter_errors


@filter_errors
def redact(data: Any, secrets: Any = (), keys: Any = ()) -> Any:
    """Mask secrets; see DOCUMENTATION."""
    return redacting.redact(data, _texts("secrets", secrets), _texts("keys", keys))


def _texts(option: str, value: Any) -> list[str]:
    given = [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else None
    if value is None:
        return []
    if given is None or not all(each is None or isinstance(each, str) for each in given):
        # The value itself may be the secret, so it is not repeated.
        raise InvalidOption(option, type(value).__name__, "a list of texts")
    return [each for each in given if each]


class FilterModule:
    """The filter C(runbook.ops.redact)."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filter by its name."""
        return {"redact": redact}
