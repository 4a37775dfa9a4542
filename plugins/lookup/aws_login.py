# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login of Amazon's services, or of a store like theirs, that an inventory's variables hold."""

from __future__ import annotations

DOCUMENTATION = r"""
name: aws_login
short_description: The login of an object store from the inventory's variables
version_added: 0.5.0
author: The runbook.ops contributors (@runbook-ops)
description:
  - Puts the variables C(aws_region), C(aws_access_key), C(aws_secret_key), C(aws_session_token), C(aws_profile),
    C(aws_endpoint_url) and C(aws_ca_bundle) of the host together, as the modules for object stores take them. One that
    is not there is empty, which to them means that it is not given.
  - The defaults of the roles P(runbook.ops.backup#role), P(runbook.ops.backup_verification#role) and
    P(runbook.ops.restore#role) are made by it.
options:
  _terms:
    description: Nothing.
    type: list
    elements: str
  endpoint_url_variable:
    description: The variable with the endpoint's address, for a service whose address is another one.
    type: str
    default: aws_endpoint_url
"""

EXAMPLES = r"""
- name: Look at the bucket
  runbook.ops.backup_info: >-
    {{ lookup('runbook.ops.aws_login')
       | combine({'repository': 's3://shop-backups/db', 'name_pattern': 'shop-%Y%m%d.dump'}) }}
"""

RETURN = r"""
_raw:
  description: A list with the login.
  type: list
  elements: dict
  contains:
    region:
      description: C(aws_region).
      type: str
    access_key:
      description: C(aws_access_key).
      type: str
    secret_key:
      description: C(aws_secret_key).
      type: str
    session_token:
      description: C(aws_session_token).
      type: str
    profile:
      description: C(aws_profile).
      type: str
    endpoint_url:
      description: C(aws_endpoint_url), or the variable that is named instead.
      type: str
    ca_bundle:
      description: C(aws_ca_bundle).
      type: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

_NAMES = ("region", "access_key", "secret_key", "session_token", "profile", "endpoint_url", "ca_bundle")


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible carries no types.
    """The login that the variables hold."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Put the variables together; see DOCUMENTATION."""
        self.set_options(var_options=variables, direct=kwargs)
        del terms
        found = variables or {}
        named = {name: f"aws_{name}" for name in _NAMES}
        named["endpoint_url"] = self.get_option("endpoint_url_variable")
        # They may be templates themselves, such as lookups of the environment.
        return [self._templar.template({name: found.get(variable, "") for name, variable in named.items()})]
