# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The object store and the classes of log_export and log_retention; module_utils/log_keeping says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """Where logs go, and how long which are kept."""

    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - Address of the store, such as V(https://minio.example.com:9000). Amazon's in O(region), if not given.
      - If the value is not specified in the task, environment variables E(AWS_ENDPOINT_URL_S3) or E(AWS_ENDPOINT_URL)
        will be used instead.
    type: str
  region:
    description:
      - Region of the store, V(us-east-1) if not given.
      - If the value is not specified in the task, environment variables E(AWS_REGION) or E(AWS_DEFAULT_REGION) will be
        used instead.
    type: str
  access_key:
    description:
      - Id of the access key. It goes to the host whose logs these are, so give it one that may do no more than this.
      - If the value is not specified in the task, environment variable E(AWS_ACCESS_KEY_ID) will be used instead.
    type: str
  secret_key:
    description:
      - The secret that belongs to O(access_key).
      - If the value is not specified in the task, environment variable E(AWS_SECRET_ACCESS_KEY) will be used instead.
    type: str
  session_token:
    description:
      - Session token of temporary credentials.
      - If the value is not specified in the task, environment variable E(AWS_SESSION_TOKEN) will be used instead.
    type: str
  validate_certs:
    description:
      - Whether the store's certificate is verified.
    type: bool
    default: true
  ca_bundle:
    description:
      - File with the certificates of the authorities that may have signed it.
      - If the value is not specified in the task, environment variable E(AWS_CA_BUNDLE) will be used instead.
    type: path
  read_timeout:
    description:
      - Seconds to wait for each piece of an answer. A request is tried twice.
    type: float
    default: 60
  classes:
    description:
      - The retention classes. A file that several of them match belongs to the first of them, but to V(audit) or
        V(security) wherever these stand.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The class. V(real_time), V(error), V(audit) and V(security) have times of their own. V(audit) and
            V(security) are never deleted without the proof that they lie in the store.
        type: str
        required: true
      paths:
        description:
          - Patterns of its files, such as V(/var/log/shop/audit.log*). Only rotated ones count, by their names (a
            number, a date, a compression). Links are passed over.
        type: list
        elements: str
        required: true
      keep:
        description:
          - How long they are kept in all, such as V(90d). By default V(7d) for V(real_time), V(30d) for V(error),
            V(365d) for V(audit), V(1095d) for V(security).
        type: str
      keep_local:
        description:
          - How long they stay on the host once they are exported. As long as O(classes[].keep), if not given.
        type: str
      export:
        description:
          - Whether they are exported. By default V(true) for V(audit) and V(security).
        type: bool
      redact:
        description:
          - Whether tokens, passwords, addresses and the like are taken out of what is exported. The file on the host
            stays as it is.
        type: bool
        default: false
  state_directory:
    description:
      - Where the host keeps what it has exported.
    type: path
    default: /var/lib/runbook/logs
  quiet_seconds:
    description:
      - A file that was written in so many seconds is left alone, as is one that a process has open for writing.
    type: float
    default: 60
  reference_time:
    description:
      - The moment that counts as now, ISO 8601 with time zone. Now, if not given.
    type: str
  on_refusal:
    description:
      - What happens when a file was left alone. With V(fail) the task fails after everything else is done, and the
        failure carries the whole result. With V(report) it succeeds, and RV(refused) is for the caller to judge.
    type: str
    choices: [fail, report]
    default: fail
notes:
  - The host needs nothing but Python. An empty string in an option of the store means that it is not given.
"""
