# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of a Prometheus server; module_utils/prometheus/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a Prometheus server; goes together with the fragment C(http_client)."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of the server without C(/api), with the path prefix if there is one.
      - If the value is not specified in the task, environment variable E(PROMETHEUS_URL) will be used instead.
    type: str
    required: true
notes:
  - Without O(bearer_token), O(url_username) or O(url_password) in the task the environment variables
    E(PROMETHEUS_BEARER_TOKEN), E(PROMETHEUS_USERNAME) and E(PROMETHEUS_PASSWORD) will be used instead.
  - Every server with the HTTP API of Prometheus will do, such as Thanos, Mimir or VictoriaMetrics.
"""
