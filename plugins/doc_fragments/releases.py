# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an application's releases are; module_utils/releases/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """The directories of an application."""

    DOCUMENTATION = r"""
options:
  path:
    description:
      - The application's directory, an absolute path such as V(/srv/shop).
    type: path
    required: true
  current_name:
    description:
      - The name of the link to the release that is served.
    type: str
    default: current
  releases_name:
    description:
      - The name of the directory with a directory for each release.
    type: str
    default: releases
  shared_name:
    description:
      - The name of the directory with what outlives releases.
    type: str
    default: shared
"""
