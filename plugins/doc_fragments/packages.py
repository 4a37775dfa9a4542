# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules for packages; module_utils/packages/manager.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """The package manager, what it must not touch, and its times."""

    DOCUMENTATION = r"""
options:
  manager:
    description:
      - The package manager. V(auto) takes the one that is there.
    type: str
    choices: [auto, apt, dnf]
    default: auto
  refresh:
    description:
      - Whether the lists of packages are read again first, also in check mode, which could not say otherwise what would
        be done. Nothing that is installed changes by it.
    type: bool
    default: false
  hold:
    description:
      - Names of packages that are not updated in passing, and of units that are not restarted in passing. C(*) stands
        for anything. What is held on the machine (C(apt-mark hold)) is added.
    type: list
    elements: str
    default: [postgresql*, mysql*, mariadb*, redis*, mongodb*, docker*, containerd*, runc]
  state_directory:
    description:
      - Where the record of updates, the lists of packages before them, the files of the versions before, and the log of
        the package manager are kept.
    type: path
    default: /var/lib/runbook/packages
  query_timeout:
    description:
      - How long a question to the package manager may take, such as V(5m).
    type: str
    default: 10m
  lock_timeout:
    description:
      - How long to wait for another run of the package manager.
    type: str
    default: 10m
"""
