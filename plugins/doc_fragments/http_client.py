# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that speaks HTTP; module_utils/http/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How to speak to an HTTP server."""

    DOCUMENTATION = r"""
options:
  bearer_token:
    description:
      - A token to send as C(Bearer) authorization. It goes to the one server it is for, and never along with a
        redirect to another.
    type: str
  url_username:
    description:
      - The user of HTTP basic authentication.
    type: str
  url_password:
    description:
      - The password of O(url_username).
    type: str
  headers:
    description:
      - Further header fields to send. Except for C(Accept), C(Content-Type), C(User-Agent) and their kind the values
        count as secrets, are hidden from the output and never sent to another server than the one they are for.
    type: dict
  validate_certs:
    description:
      - Whether the certificate of the server is verified.
    type: bool
    default: true
  ca_path:
    description:
      - File or folder with certificates, in PEM, of authorities to trust besides those of the system.
    type: path
  client_cert:
    description:
      - File with a client certificate in PEM; it may hold the key as well.
    type: path
  client_key:
    description:
      - File with the unencrypted key of O(client_cert).
    type: path
  use_proxy:
    description:
      - Whether the proxy in C(http_proxy), C(https_proxy) or C(all_proxy) is used, but for what C(no_proxy) names.
      - This machine itself (C(localhost), C(127.0.0.1), C(::1)) is never asked through a proxy.
    type: bool
    default: true
  timeout:
    description:
      - Seconds one request may take as a whole, from the name server to the last byte of the body, redirects included.
      - At most 600.
    type: float
    default: 10
notes:
  - An empty string in a connection option means that it is not given.
  - Only the standard library of Python is needed.
"""
