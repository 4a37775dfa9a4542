# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Compose project and the way to its engine; module_utils/compose/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """Which project it is, and where."""

    DOCUMENTATION = r"""
options:
  project_name:
    description:
      - The name of the project, as C(docker compose --project-name) takes it. Compose would take the folder's name
        otherwise, so that the same files in C(docker/) are another project.
    type: str
    required: true
  project_src:
    description:
      - The project's folder on the host, absolute. Relative paths in the Compose files begin here.
    type: path
    required: true
  files:
    description:
      - The Compose files, in the order in which they are merged; absolute, or below O(project_src). By default the file
        with one of Compose's own names, and the override file beside it.
    type: list
    elements: str
    default: []
  env_files:
    description:
      - The files that set the variables in the Compose files; absolute, or below O(project_src). Without any, Compose
        reads C(.env) in O(project_src) and nothing else, whatever other environment files lie there.
      - The environment of the run itself is not used.
    type: list
    elements: str
    default: []
  profiles:
    description:
      - The profiles that are active.
    type: list
    elements: str
    default: []
  state_dir:
    description:
      - Where M(runbook.ops.compose_release) records releases of the project. C(/var/lib/runbook/compose) with the
        project's name, if not given.
    type: path
"""

    # The engine alone.
    DOCKER = r"""
options:
  docker_cli:
    description:
      - Docker's client.
    type: str
    default: docker
  docker_host:
    description:
      - The engine's address, such as V(unix:///run/user/1000/docker.sock). By default what C(DOCKER_HOST) or the
        client's context says.
    type: str
  command_timeout:
    description:
      - Seconds that one question to the engine may take.
    type: int
    default: 60
requirements:
  - docker, the client, with Compose v2 for projects
"""
