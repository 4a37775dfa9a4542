# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say which backup of a cluster's objects is meant."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of C(kubernetes.objects_backup.source_argument_spec)."""

    DOCUMENTATION = r"""
options:
  repository:
    description:
      - The directory of the host that executes the module which backups lie in.
    type: path
    required: true
  name_pattern:
    description:
      - The naming rule that M(runbook.ops.k8s_backup) was given.
    type: str
    required: true
  name:
    description:
      - This backup instead of the newest.
    type: str
"""
