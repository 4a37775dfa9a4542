# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules about services; module_utils/services/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How services, and what they depend on, are asked."""

    DOCUMENTATION = r"""
options:
  docker:
    description:
      - How Docker is called, as a list of words, such as V([podman]).
    type: list
    elements: str
    default: [docker]
  timeout:
    description:
      - Seconds that one question to systemd, Docker or a dependency may take.
    type: float
    default: 20
  dependencies:
    description:
      - What the service depends on, asked from this machine. Each has exactly one of O(dependencies[].port),
        O(dependencies[].url), O(dependencies[].unit) and O(dependencies[].service).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What to call it, such as V(database).
        type: str
        required: true
      host:
        description: The host that O(dependencies[].port) is a port of.
        type: str
        default: 127.0.0.1
      port:
        description: A port that must accept a connection.
        type: int
      url:
        description: An address that must answer with one of O(dependencies[].expected_status).
        type: str
      expected_status:
        description: The statuses that are fine.
        type: list
        elements: int
        default: [200]
      unit:
        description: A unit of systemd that must be active.
        type: str
      project:
        description: The Compose project of O(dependencies[].service).
        type: str
      service:
        description: A service of Compose whose containers must run, and be healthy if they can tell.
        type: str
"""
