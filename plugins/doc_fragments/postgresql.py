# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every PostgreSQL module; module_utils/postgresql/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a PostgreSQL server."""

    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Name or address of the server.
      - If the value is not specified in the task, environment variable E(PGHOST) will be used instead.
    type: str
    default: localhost
  login_port:
    description:
      - Port of the server.
      - If the value is not specified in the task, environment variable E(PGPORT) will be used instead.
    type: int
    default: 5432
  login_user:
    description:
      - The role to log in as.
      - If the value is not specified in the task, environment variable E(PGUSER) will be used instead.
    type: str
    default: postgres
  login_password:
    description:
      - The password of O(login_user). Any characters may occur in it.
      - If the value is not specified in the task, environment variable E(PGPASSWORD) will be used instead.
    type: str
  login_unix_socket:
    description:
      - Directory of a Unix domain socket to connect through. Takes precedence over O(login_host).
    type: path
  login_db:
    description:
      - The database to connect to.
      - If the value is not specified in the task, environment variable E(PGDATABASE) will be used instead.
    type: str
    default: postgres
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
  - Every wait has a limit, both on the server (C(statement_timeout), C(lock_timeout)) and on the client,
    so that neither a lock nor a frozen server keeps a task hanging.
"""
