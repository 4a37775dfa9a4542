#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases in a directory of their own each, and the link that says which one is served."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Prepare a release beside the one that is served, switch to it in one step, go back, clean up
version_added: 0.6.0
description:
  - Keeps every release of an application in a directory of its own below C(releases), what outlives them below
    C(shared), and a symbolic link C(current) to the release that is served.
  - A release is made while the old one is served, of an archive whose checksum is verified, or of a repository at an
    exact commit. Nothing that is served is touched.
  - The link is switched by renaming a new one over it, so that it leads to the old or to the new release at every
    moment.
  - A run that is killed at any moment leaves the old release served. Run again, it goes on; a release whose making
    ended early is never taken for one, and is made anew.
  - A history says which release was served before, so a rollback does not guess from names or dates, and never leads
    to a release that was itself rolled back.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.releases
attributes:
  check_mode:
    support: full
    details:
      - Verifies the source and what is shared, and returns the steps of a real run. A commit that is missing is not
        fetched.
  diff_mode:
    support: full
options:
  state:
    description:
      - With V(prepared) the release is there and complete. It is not served yet.
      - With V(current) it is served.
      - With V(confirmed) it is noted that the release, which must be served, was found healthy. A run that was killed
        between the switch and the reload of the service is recognised by the missing note.
      - With V(rolled_back) it is B(not) served. Where it is, the link goes back to the release before it.
      - With V(pruned) only the newest O(keep) complete releases are left, besides the one that is served and the one
        that a rollback goes to, which are never removed. Releases whose making ended early are removed; those that
        something else made are left alone.
    type: str
    choices: [prepared, current, confirmed, rolled_back, pruned]
    required: true
  release:
    description:
      - The id of the release, which is the name of its directory. Needed but for O(state=pruned).
    type: str
  to:
    description:
      - With O(state=rolled_back), the release to go back to, instead of the one that was served before.
    type: str
  archive:
    description:
      - A tar file on the host, compressed with gzip, bzip2 or xz, or not. With O(state=prepared), exactly one of this
        and O(repository) is needed.
      - Entries that lie or lead outside the release, and devices, are refused. Everything belongs to the user who runs
        the module.
    type: path
  sha256:
    description:
      - The checksum that O(archive) must have.
    type: str
  strip_components:
    description:
      - How many leading directories of the names in O(archive) are left out.
    type: int
    default: 0
  repository:
    description:
      - A git repository on the host, bare or not. Its working tree is neither used nor touched.
    type: path
  commit:
    description:
      - The whole id of the commit. Branches and tags are refused, because they can mean something else tomorrow.
    type: str
  fetch:
    description:
      - Whether a commit that O(repository) does not have is fetched from its C(origin).
    type: bool
    default: false
  shared_directories:
    description:
      - Directories below C(shared) that the release sees at the same path, such as V(log) or V(storage). They are made
        if they are missing. What the release brings at that path gives way to the link.
    type: list
    elements: str
    default: []
  shared_files:
    description:
      - Files below C(shared) that the release sees at the same path, such as V(config/master.key). They must be there.
    type: list
    elements: str
    default: []
  build:
    description:
      - Commands to run in the release's directory, one after the other, each as a list of words. No shell is involved.
      - The first that fails ends it, and the release is not complete.
    type: list
    elements: list
    default: []
  environment:
    description:
      - The environment of O(build), besides C(PATH), C(HOME) and C(LC_ALL=C). Nothing else is passed on.
      - A digest of the values is kept with the release. The same release with other values is refused, because what a
        build bakes in cannot be changed by a restart.
    type: dict
    default: {}
  secrets:
    description:
      - More of it, whose values are hidden in every message. They are never part of a command line.
    type: dict
    default: {}
  required_environment:
    description:
      - Names that O(environment) or O(secrets) must give a value. Otherwise nothing is done.
    type: list
    elements: str
    default: []
  build_timeout:
    description:
      - Seconds that one command of O(build) may take.
    type: float
    default: 1800
  keep:
    description:
      - With O(state=pruned), how many of the newest complete releases to keep, from 1.
    type: int
    default: 5
notes:
  - One run at a time works on the releases of an application. A second one is refused.
seealso:
  - module: runbook.ops.release_info
  - module: runbook.ops.migrations_info
"""

EXAMPLES = r"""
- name: Make the release while the old one is served
  runbook.ops.release:
    path: /srv/shop
    state: prepared
    release: "20260131-2"
    archive: /var/tmp/shop-20260131-2.tar.gz
    sha256: "{{ shop_sha256 }}"
    shared_directories: [log, storage]
    shared_files: [config/master.key]
    build:
      - [bundle, install, --local]
      - [bundle, exec, rails, "assets:precompile"]
    environment:
      RAILS_ENV: production
      BUNDLE_FROZEN: "true"
    required_environment: [RAILS_ENV]

- name: Serve it
  runbook.ops.release:
    path: /srv/shop
    state: current
    release: "20260131-2"

- name: Serve it no more
  runbook.ops.release:
    path: /srv/shop
    state: rolled_back
    release: "20260131-2"

- name: Keep the newest three, and what a rollback needs
  runbook.ops.release:
    path: /srv/shop
    state: pruned
    keep: 3
"""

RETURN = r"""
current:
  description: The release that is served afterwards; in check mode the one that would be.
  returned: success
  type: str
previous:
  description: The release that a rollback would go to.
  returned: success
  type: str
confirmed:
  description: Whether the release that is served was found healthy since it is.
  returned: success
  type: bool
link:
  description: The link that leads to the release that is served.
  returned: success
  type: str
actions:
  description: What was done, or would be, in this order. In check mode the same list.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(fetch), V(unpack), V(link), V(build), V(switch), V(confirm), V(rollback) or V(remove).
      type: str
    object:
      description: The release, the shared path, or the command.
      type: str
    source:
      description: Of V(unpack), the checksum or the commit.
      type: str
    reason:
      description: Of V(remove), why.
      type: str
    release_before:
      description: Of V(switch) and V(rollback), the release that was served.
      type: str
    release_after:
      description: Of V(switch) and V(rollback), the release that is served now.
      type: str
refused:
  description: Always empty. What this module cannot do right, it does not begin.
  returned: success
  type: list
  elements: dict
before:
  description: The releases as they were found.
  returned: success
  type: dict
  contains: &figures
    current:
      description: The release that is served.
      type: str
    previous:
      description: The release that a rollback goes to.
      type: str
    releases:
      description: The complete releases, oldest first, with those that something else made.
      type: list
      elements: str
    unfinished:
      description: Those whose making ended early.
      type: list
      elements: str
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: Both, one release a line.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.releases.control import control_release
from ansible_collections.runbook.ops.plugins.module_utils.releases.options import hidden_values, layout_argument_spec

STATES = ["prepared", "current", "confirmed", "rolled_back", "pruned"]


def argument_spec() -> dict[str, Any]:
    return {
        **layout_argument_spec(),
        "state": {"type": "str", "required": True, "choices": STATES},
        "release": {"type": "str"},
        "to": {"type": "str"},
        "archive": {"type": "path"},
        "sha256": {"type": "str"},
        "strip_components": {"type": "int", "default": 0},
        "repository": {"type": "path"},
        "commit": {"type": "str"},
        "fetch": {"type": "bool", "default": False},
        "shared_directories": {"type": "list", "elements": "str", "default": []},
        "shared_files": {"type": "list", "elements": "str", "default": []},
        "build": {"type": "list", "elements": "list", "default": []},
        "environment": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "required_environment": {"type": "list", "elements": "str", "default": []},
        "build_timeout": {"type": "float", "default": 1800},
        "keep": {"type": "int", "default": 5},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[["archive", "repository"]],
        required_by={"archive": "sha256", "repository": "commit"},
        required_if=[["state", each, ["release"]] for each in STATES[:-1]],
    )
    module.no_log_values |= hidden_values(module.params["secrets"])
    try:
        result = control_release(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
