#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known vulnerabilities in what a project depends on, by the tools of its ecosystem."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dependency_audit_info
short_description: Count known vulnerabilities in a project's dependencies with its ecosystem's own tool
version_added: 0.6.0
description:
  - Runs C(npm audit), C(yarn audit) or C(yarn npm audit), C(pip-audit), C(bundle-audit), or C(trivy) for an image, and
    returns what they found in one shape.
  - An exit status is what was found. C(npm audit) ends with 1 both when there are vulnerabilities and when it could not
    ask, so that the report decides, and without a report the result is unknown.
  - A missing tool, a missing lock file, a database of advisories that could not be updated, and no network are unknown,
    never none.
  - Nothing is installed, and no lock file is changed.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  projects:
    description: What to audit.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: A name for rules and reports.
        type: str
        required: true
      path:
        description: The project's directory, with its lock file.
        type: path
      ecosystem:
        description: The ecosystem. By its lock file, if not given.
        type: str
        choices: [npm, yarn, pip, bundle, image]
      image:
        description: With V(image), the image to audit.
        type: str
      production_only:
        description: Whether what is needed for development only is left out, where the tool can.
        type: bool
        default: false
  update_database:
    description: Whether C(bundle-audit) gets the newest advisories first. An old copy knows no new vulnerability.
    type: bool
    default: true
  top:
    description: How many vulnerabilities of a project to list, the worst first. Counts are complete.
    type: int
    default: 20
  timeout:
    description: Seconds that one tool may take.
    type: float
    default: 120.0
seealso:
  - module: runbook.ops.security_audit_info
"""

EXAMPLES = r"""
- name: Audit what a release depends on
  runbook.ops.dependency_audit_info:
    projects:
      - name: web
        path: /srv/app/current
        production_only: true
  register: audited

- name: Two ecosystems in one directory, and an image
  runbook.ops.dependency_audit_info:
    projects:
      - name: gems
        path: /srv/excelapp/current
        ecosystem: bundle
      - name: packages
        path: /srv/excelapp/current
        ecosystem: npm
      - name: image
        ecosystem: image
        image: excelapp-rails:1.4.2
"""

RETURN = r"""
measured_at:
  description: When, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
available:
  description: Whether any project could be audited.
  returned: success
  type: bool
reason:
  description: Why none could. V(null) if one could.
  returned: success
  type: str
skipped_sections:
  description: Projects of which it is unknown, with C(section), C(reason) and C(remedy).
  returned: success
  type: list
  elements: dict
projects:
  description: One entry for each of O(projects), in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The project.
      type: str
    path:
      description: Its directory.
      type: str
    ecosystem:
      description: Its ecosystem. V(null) without a lock file.
      type: str
    lockfile:
      description: The lock file that was audited.
      type: str
    tool:
      description: The tool that was asked.
      type: str
    tool_version:
      description: Its version.
      type: str
    exit_status:
      description: What it ended with.
      type: int
    is_known:
      description: Whether there is a complete report.
      type: bool
    reason:
      description: Why there is none.
      type: str
    count:
      description: Vulnerabilities. V(null) when unknown.
      type: int
    found_count:
      description: Those that were found, also by a tool whose advisories are old.
      type: int
    severe_count:
      description: >-
        Critical and high ones. V(null) when none is known to be, and there are some whose severity the tool does not
        tell.
      type: int
    critical_count:
      description: Critical ones.
      type: int
    high_count:
      description: High ones.
      type: int
    moderate_count:
      description: Moderate ones.
      type: int
    low_count:
      description: Low ones.
      type: int
    unknown_count:
      description: Those whose severity the tool does not tell, as C(pip-audit) never does.
      type: int
    vulnerabilities:
      description: The worst, with C(package), C(installed), C(id), C(severity), C(title), C(url) and C(fixed_in).
      type: list
      elements: dict
    truncated:
      description: Whether there are more than O(top).
      type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.dependencies.audit import audit_projects
from ansible_collections.runbook.ops.plugins.module_utils.dependencies.tools import ECOSYSTEMS

PROJECT = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path"},
    "ecosystem": {"type": "str", "choices": list(ECOSYSTEMS)},
    "image": {"type": "str"},
    "production_only": {"type": "bool", "default": False},
}


def argument_spec() -> dict[str, Any]:
    return {
        "projects": {"type": "list", "elements": "dict", "required": True, "options": PROJECT},
        "update_database": {"type": "bool", "default": True},
        "top": {"type": "int", "default": 20},
        "timeout": {"type": "float", "default": 120.0},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        measured_at = iso(utc_now())
        facts = audit_projects(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
