# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every Redis module; module_utils/redis/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a Redis server."""

    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Name or address of the server. Of a Redis Cluster any node will do; the others are found through it.
      - If the value is not specified in the task, environment variable E(REDIS_LOGIN_HOST) will be used instead.
    type: str
    default: localhost
  login_port:
    description:
      - Port of the server.
      - If the value is not specified in the task, environment variable E(REDIS_LOGIN_PORT) will be used instead.
    type: int
    default: 6379
  login_user:
    description:
      - The ACL user to log in as. Without it the server's user V(default) is meant.
      - If the value is not specified in the task, environment variable E(REDIS_LOGIN_USER) will be used instead.
    type: str
  login_password:
    description:
      - The password of O(login_user). Any characters may occur in it.
      - If the value is not specified in the task, environment variable E(REDIS_LOGIN_PASSWORD)
        or E(REDISCLI_AUTH) will be used instead.
    type: str
  login_db:
    description:
      - Number of the database. A Redis Cluster has only database 0.
      - If the value is not specified in the task, environment variable E(REDIS_LOGIN_DB) will be used instead.
    type: int
    default: 0
  login_unix_socket:
    description:
      - Path of a Unix domain socket to connect through. Takes precedence over O(login_host).
    type: path
  sentinels:
    description:
      - The Redis Sentinels to ask for the address of the master O(sentinel_master), each as C(host:port) or as a host
        alone for port 26379. The first one that knows it is believed.
      - With them O(login_host) and O(login_port) are not used. The other options, TLS among them, are used for the
        sentinels and for the master, but O(login_user) and O(login_password) only for the master.
    type: list
    elements: str
    default: []
    version_added: 0.3.0
  sentinel_master:
    description:
      - The name of the master, as the sentinels call it. Needs O(sentinels).
    type: str
    version_added: 0.3.0
  sentinel_user:
    description:
      - The ACL user to log in as at the sentinels.
      - If the value is not specified in the task, environment variable E(REDIS_SENTINEL_USER) will be used instead.
    type: str
    version_added: 0.3.0
  sentinel_password:
    description:
      - The password for the sentinels, if they want one.
      - If the value is not specified in the task, environment variable E(REDIS_SENTINEL_PASSWORD)
        will be used instead.
    type: str
    version_added: 0.3.0
  tls:
    description:
      - Whether the connection is encrypted.
      - If the value is not specified in the task, environment variable E(REDIS_TLS) will be used instead.
    type: bool
    default: false
  validate_certs:
    description:
      - Whether the server's certificate and the name in it are verified.
    type: bool
    default: true
  ca_certs:
    description:
      - File with the certificates of the authorities that may have signed the server's certificate.
        Without it the system's authorities are trusted.
      - If the value is not specified in the task, environment variable E(REDIS_CA_CERTS) will be used instead.
    type: path
  client_cert_file:
    description:
      - File with the client's certificate, for servers that want one. Needs O(client_key_file).
    type: path
  client_key_file:
    description:
      - File with the client's private key.
    type: path
  connect_timeout:
    description:
      - Seconds to wait for the connection.
    type: float
    default: 5.0
  socket_timeout:
    description:
      - Seconds to wait for the answer to one command.
    type: float
    default: 10.0
requirements:
  - redis >= 5.0 (the Python client) on the host that executes the module
notes:
  - An empty string in a connection option means that it is not given.
  - Commands are bounded, and those of C(_info) modules only read. C(KEYS), C(MONITOR), C(SAVE) and C(FLUSHALL) are
    never used.
"""

    # How far a scan of the keys may go; module_utils/redis/scan.py says the same.
    SCAN = r"""
options:
  max_keys:
    description:
      - How many keys of the database to walk through at most.
        A scan that stops there says so with RV(complete), and no figure is made from a part of the keys.
    type: int
    default: 1000000
  max_seconds:
    description:
      - How many seconds to walk at most.
    type: float
    default: 10.0
"""
