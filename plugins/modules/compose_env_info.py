#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files before they are used: what is missing, empty, weak or known to everybody, and who may read them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_env_info
short_description: Look at environment files for missing keys, weak and default secrets, modes, and git
version_added: 0.6.0
description:
  - Reads environment files as Compose does and tells by name which variables are missing, empty, set twice, a default
    that everybody knows, a placeholder of a template, or weak; whether others may read the file; and whether git tracks
    it or has it in its history.
  - Secrets are told by the names of variables (C(PASSWORD), C(SECRET), C(TOKEN), C(API_KEY), …) and as the password in
    an address.
  - No value is ever returned, and neither is its length.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  files:
    description:
      - The files, absolute, in the order in which they are read.
    type: list
    elements: path
    required: true
  required_keys:
    description:
      - The variables that the files must set together.
    type: list
    elements: str
    default: []
  example:
    description:
      - The file that was copied, such as C(.env.example). A secret with a value of it is a default.
    type: path
  min_secret_length:
    description:
      - Characters that a secret needs at least.
    type: int
    default: 16
  max_mode:
    description:
      - What a file's mode may allow at most, as four octal digits.
    type: str
    default: "0600"
  owner:
    description:
      - The user that the files must belong to. Not looked at, if not given.
    type: str
seealso:
  - module: runbook.ops.compose_info
"""

EXAMPLES = r"""
- name: Is the environment fit for a release
  runbook.ops.compose_env_info:
    files: [/srv/shop/.env.production]
    required_keys: [POSTGRES_PASSWORD, JWT_SECRET]
    example: /srv/shop/.env.example
  register: environment_files
"""

RETURN = r"""
is_ok:
  description: Whether nothing stands in the way of a release.
  returned: success
  type: bool
files:
  description: One entry for each file.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    exists:
      description: Whether it is there.
      type: bool
    reason:
      description: Why it could not be read. V(null) if it could.
      type: str
    mode:
      description: Its mode, as four octal digits.
      type: str
    owner:
      description: Whom it belongs to.
      type: str
    group:
      description: Its group.
      type: str
    is_private:
      description: Whether its mode allows no more than O(max_mode).
      type: bool
    owner_is_right:
      description: Whether it belongs to O(owner). V(null) without the option.
      type: bool
    tracked_by_git:
      description: Whether git tracks it. V(null) if that cannot be known.
      type: bool
    in_git_history:
      description: Whether a commit has it.
      type: bool
    keys:
      description: The variables that it sets.
      type: list
      elements: str
    missing_keys:
      description: Required ones that no file sets, at the last file.
      type: list
      elements: str
    empty_keys:
      description: Required ones and secrets that are empty.
      type: list
      elements: str
    duplicate_keys:
      description: Those that are set more than once.
      type: list
      elements: str
    malformed_lines:
      description: Numbers of lines that are no assignments.
      type: list
      elements: int
    default_keys:
      description: Secrets that everybody knows.
      type: list
      elements: dict
      contains:
        key:
          description: The variable.
          type: str
        reason:
          description: Why.
          type: str
    weak_keys:
      description: Secrets that can be guessed.
      type: list
      elements: dict
      contains:
        key:
          description: The variable.
          type: str
        reason:
          description: Why.
          type: str
    problems:
      description: The entries of RV(problems) that are about this file.
      type: list
      elements: dict
problems:
  description: What a person should mend.
  returned: success
  type: list
  elements: dict
  contains:
    file:
      description: The file.
      type: str
    kind:
      description:
        - V(absent), V(unreadable), V(missing), V(empty), V(duplicate), V(default), V(weak), V(malformed), V(mode),
          V(owner), V(tracked) or V(history).
      type: str
    key:
      description: The variable. Empty if it is about the file.
      type: str
    object:
      description: The file's name, and the variable.
      type: str
    message:
      description: What is wrong.
      type: str
    is_blocking:
      description: Whether it stands in the way of a release.
      type: bool
skipped_sections:
  description: What could not be found out.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: What it is.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
"""

import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.compose.env_files import look_at


def argument_spec() -> dict[str, Any]:
    return {
        "files": {"type": "list", "elements": "path", "required": True},
        "required_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "example": {"type": "path"},
        "min_secret_length": {"type": "int", "default": 16, "no_log": False},
        "max_mode": {"type": "str", "default": "0600"},
        "owner": {"type": "str"},
    }


def _mode(text: str) -> int:
    if not re.fullmatch(r"0[0-7]{3}", text):
        raise InvalidOption("max_mode", text, "four octal digits in quotes, such as '0600'")
    return int(text, 8)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = module.params
    try:
        files, skipped = look_at(
            [Path(path) for path in options["files"]],
            required=options["required_keys"],
            example=Path(options["example"]) if options["example"] else None,
            least_secret=options["min_secret_length"],
            mode=_mode(options["max_mode"]),
            owner=options["owner"] or "",
        )
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    found = [problem for each in files for problem in each["problems"]]
    is_ok = not any(each["is_blocking"] for each in found)
    module.exit_json(changed=False, files=files, problems=found, is_ok=is_ok, skipped_sections=skipped)


if __name__ == "__main__":
    main()
