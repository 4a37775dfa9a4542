# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of a Loki server; module_utils/loki/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a Loki server; goes together with the fragment C(http_client)."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of the server without C(/loki), with the path prefix if there is one.
      - If the value is not specified in the task, environment variable E(LOKI_ADDR) will be used instead.
    type: str
    required: true
  tenant:
    description:
      - The tenant to ask for, of a server with several.
      - If the value is not specified in the task, environment variable E(LOKI_ORG_ID) will be used instead.
    type: str
notes:
  - Without O(bearer_token), O(url_username) or O(url_password) in the task the environment variables
    E(LOKI_BEARER_TOKEN), E(LOKI_USERNAME) and E(LOKI_PASSWORD) will be used instead.
"""
