# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of the PgBouncer modules; module_utils/pgbouncer/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach the console of a PgBouncer."""

    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Name or address of the pooler.
    type: str
    default: localhost
  login_port:
    description:
      - Port of the pooler.
    type: int
    default: 6432
  login_user:
    description:
      - The user to log in as, of the pooler's C(stats_users) or C(admin_users). Reading needs no more than the former.
    type: str
    default: pgbouncer
  login_password:
    description:
      - The password of O(login_user). Any characters may occur in it.
      - If the value is not specified in the task, environment variable E(PGPASSWORD) will be used instead.
    type: str
  login_unix_socket:
    description:
      - Directory of a Unix domain socket to connect through. Takes precedence over O(login_host).
    type: path
  ssl_mode:
    description:
      - Whether the connection is encrypted and the server's certificate verified, as libpq understands it.
      - If the value is not specified in the task, environment variable E(PGSSLMODE) will be used instead.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description:
      - File with the certificates of the authorities that may have signed the server's certificate.
      - If the value is not specified in the task, environment variable E(PGSSLROOTCERT) will be used instead.
    type: path
  ssl_cert:
    description:
      - File with the client's certificate.
      - If the value is not specified in the task, environment variable E(PGSSLCERT) will be used instead.
    type: path
  ssl_key:
    description:
      - File with the client's private key.
      - If the value is not specified in the task, environment variable E(PGSSLKEY) will be used instead.
    type: path
  connect_timeout:
    description:
      - Seconds to wait for the connection, including the login.
      - If the value is not specified in the task, environment variable E(PGCONNECT_TIMEOUT) will be used instead.
    type: int
    default: 5
requirements:
  - psycopg2 >= 2.9 on the host that executes the module
notes:
  - An empty string in a connection option means that it is not given.
  - The console is the database C(pgbouncer) of the pooler. It knows no C(statement_timeout), so the client keeps the
    time.
  - Several poolers behind one address (the pods of a deployment, C(so_reuseport)) have a console each. Name each by an
    address of its own.
"""
