# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every object store module; module_utils/object_store/options.py says the same."""

from __future__ import annotations

import re
import textwrap


def _inside(documentation: str, option: str) -> str:
    """The same options as suboptions of an option."""
    options = documentation.partition("options:\n")[2].partition("requirements:\n")[0]
    named = re.sub(r"O\((\w+)\)", rf"O({option}.\1)", options)
    return textwrap.indent(named, "    ")


class ModuleDocFragment:
    """How to reach an object store that speaks S3: Amazon's, MinIO, Ceph and others."""

    DOCUMENTATION = r"""
options:
  region:
    description:
      - Region of the store. With O(endpoint_url) and no region, V(us-east-1) is used for signing, as MinIO expects.
      - If the value is not specified in the task, environment variables E(AWS_REGION) or E(AWS_DEFAULT_REGION)
        will be used instead.
    type: str
  access_key:
    description:
      - Id of the access key. Goes together with O(secret_key) and takes precedence over O(profile).
      - Without key and profile, credentials are looked for as every AWS tool does, for instance in the instance's role.
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
  profile:
    description:
      - Profile of the AWS configuration files to take credentials and region from.
      - If the value is not specified in the task, environment variables E(AWS_PROFILE) or E(AWS_DEFAULT_PROFILE)
        will be used instead.
    type: str
  endpoint_url:
    description:
      - Address of a store other than Amazon's, such as V(https://minio.example.com:9000). Buckets are then named in the
        path of the address, which every such store understands.
      - If the value is not specified in the task, environment variables E(AWS_ENDPOINT_URL_S3) or
        E(AWS_ENDPOINT_URL) will be used instead.
    type: str
  validate_certs:
    description:
      - Whether the server's certificate is verified.
    type: bool
    default: true
  ca_bundle:
    description:
      - File with the certificates of the authorities that may have signed the server's certificate.
      - If the value is not specified in the task, environment variable E(AWS_CA_BUNDLE) will be used instead.
    type: path
  connect_timeout:
    description:
      - Seconds to wait for a connection. A request is tried twice.
    type: float
    default: 5
  read_timeout:
    description:
      - Seconds to wait for each piece of an answer.
    type: float
    default: 20
requirements:
  - boto3 >= 1.34 on the host that executes the module
notes:
  - An empty string in a connection option means that it is not given.
"""

    # A second repository, with a login of its own. Annotated: tools that read literals only would stumble over it.
    DESTINATION: str = f"""
options:
  destination:
    description:
      - The repository that copies go to, and how to reach the object store, if it is one.
      - Nothing of the first repository's login is taken over.
    type: dict
    required: true
    suboptions:
      repository:
        description:
          - An absolute directory of the host that executes the module, made for its owner only if it is not there, or
            V(s3://bucket/prefix).
        type: str
        required: true
{_inside(DOCUMENTATION, "destination")}"""

    # A store that a module may upload to beside its main work.
    S3: str = f"""
options:
  s3:
    description:
      - How to reach the object store. An empty string means that an option is not given.
    type: dict
    suboptions:
{_inside(DOCUMENTATION, "s3")}"""
