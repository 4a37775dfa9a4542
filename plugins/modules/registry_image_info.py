#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether images are in their registries, by which digest and for which platforms."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_image_info
short_description: Whether container images exist in their registries, by which digest and for which platforms
version_added: 0.7.0
description:
  - Asks registries for images by the Distribution API, which all of them speak (Docker Hub, ECR, GHCR, GitLab, Harbor,
    Quay, Artifactory and others). No image is fetched, no engine is needed.
  - A digest is computed from the bytes that the registry sends. Where its header says another, or another was asked
    for, it is not known whether the image exists.
  - A registry that refuses the login does not say that an image is missing, nor does one that cannot be reached. Then
    RV(images[].exists) is V(null), with the reason.
  - An image takes one request, or two where it is for one platform only; each of O(platforms) takes two more.
  - A registry has one connection. On Docker Hub each image counts as one pull.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
options:
  images:
    description:
      - The images, by tag, by digest, or with both. The digest is what counts then, as for engines.
      - Short names are completed as Docker does, so that V(nginx) is V(docker.io/library/nginx:latest).
    type: list
    elements: str
    required: true
  platforms:
    description:
      - The platforms that the images must be made for, such as V(linux/amd64), V(linux/arm64) or V(linux/arm/v7).
        Variants are compared as containerd does, so that V(linux/arm64) and V(linux/arm64/v8) are the same.
      - Of these the manifest is read as well, because an index may name one that is no longer there.
    type: list
    elements: str
    default: []
  credentials:
    description:
      - Logins, each for one registry. They win over those in O(docker_config).
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description:
          - The registry, as images name it, such as V(registry.example.com:5000) or V(docker.io).
        type: str
        required: true
      username:
        description:
          - The user. For ECR it is V(AWS).
        type: str
      password:
        description:
          - The password of O(credentials[].username), or an access token where it stands for one. For ECR it is what
            C(aws ecr get-login-password) prints.
        type: str
      token:
        description:
          - A token that is sent as it is, instead of a user with a password.
        type: str
  docker_config:
    description:
      - A file with logins as C(docker login), C(podman login) and C(skopeo login) write it. Its helpers
        (C(credsStore), C(credHelpers)) are asked too; that is the program C(docker-credential-<name>).
      - C(config.json) in the folder C(DOCKER_CONFIG) of the environment, or in C(~/.docker), if not given. There may be
        none.
    type: path
  insecure_registries:
    description:
      - Registries that are asked without TLS, as images name them, such as V(127.0.0.1:5000). Whoever is on the way can
        change what they say, and read the login. No other registry is asked without TLS, not even this machine's.
    type: list
    elements: str
    default: []
  retry_seconds:
    description:
      - How long it is waited altogether, from 0 to 600, for registries that want to be asked later (status 429 and
        503). What they want in C(Retry-After) is done, if it is no longer than that.
    type: float
    default: 30
  validate_certs:
    description:
      - Whether the certificates of registries are verified.
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
    type: bool
    default: true
  timeout:
    description:
      - Seconds one request may take as a whole, at most 600.
    type: float
    default: 10
notes:
  - Only the standard library of Python is needed.
  - Run it where the registries can be reached; that may be the controller, or a node.
seealso:
  - module: runbook.ops.k8s_image
  - name: The specification
    description: What registries answer.
    link: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

EXAMPLES = r"""
- name: Is what is going to be released there, and for the nodes that there are
  runbook.ops.registry_image_info:
    images:
      - registry.example.com/shop/web:1.4.2
    platforms: [linux/amd64, linux/arm64]
    credentials:
      - registry: registry.example.com
        username: deploy
        password: "{{ registry_password }}"
  register: wanted

- name: Refuse what is not known to be there
  ansible.builtin.assert:
    that:
      - wanted.images[0].exists is true
      - wanted.images[0].missing_platforms == []
    fail_msg: "{{ wanted.images[0].image }}: {{ wanted.images[0].reason }}"

- name: Show the image by its digest, which is the same one tomorrow
  ansible.builtin.debug:
    var: wanted.images[0].reference
"""

RETURN = r"""
available:
  description: Whether any of the registries answered.
  returned: success
  type: bool
  sample: true
reason:
  description: Why none answered, and what to do. V(null) if one did.
  returned: success
  type: str
measured_at:
  description: When the registries were asked, in ISO 8601 UTC.
  returned: success
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: One entry for each image that is not known completely, and for each login that cannot be used.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The image as given, or C(credentials of) and the registry.
      type: str
    reason:
      description: Why.
      type: str
    remedy:
      description: What to do about it.
      type: str
all_exist:
  description: Whether all images exist. V(false) if one is missing, V(null) if it is not known of one.
  returned: success
  type: bool
requests_count:
  description: How many requests were sent.
  returned: success
  type: int
images:
  description: One entry for each image, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    image:
      description: The image as given.
      type: str
    registry:
      description: Its registry.
      type: str
      sample: docker.io
    repository:
      description: Its name there.
      type: str
      sample: library/nginx
    tag:
      description: Its tag. V(null) for an image by its digest alone.
      type: str
    available:
      description: Whether the registry answered.
      type: bool
    exists:
      description: Whether the image is there. V(null) is unknown.
      type: bool
    missing:
      description:
        - What is not there, V(name) for the whole repository, V(tag) or V(digest), where RV(images[].exists=false). A
          registry that does not tell whether there is a repository gives V(tag).
      type: str
    reason:
      description: Why it does not exist, is not known, or is not for the platforms. V(null) if all is well.
      type: str
    digest:
      description: The digest of the index or manifest, computed from its bytes.
      type: str
    reference:
      description: The image by this digest.
      type: str
      sample: registry.example.com/shop/web@sha256:6b0b2bc4a3f5e1b2d3c4f5a60718293a4b5c6d7e8f90123456789abcdef01234
    media_type:
      description: What the registry has there, an index or a manifest of OCI or Docker.
      type: str
      sample: application/vnd.oci.image.index.v1+json
    platforms:
      description: The platforms that the image is made for. Attestations are none.
      type: list
      elements: dict
      contains:
        platform:
          description: All of it, such as V(linux/arm/v7). V(null) if nobody says.
          type: str
        os:
          description: The operating system.
          type: str
        architecture:
          description: The architecture of the processor, as Go and Kubernetes name it.
          type: str
        variant:
          description: The variant of the architecture. V(null) for the usual one.
          type: str
        os_version:
          description: The version of the operating system, for Windows.
          type: str
        digest:
          description: The digest of its manifest.
          type: str
        exists:
          description: Whether its manifest and its configuration are there. V(null) where nobody has looked.
          type: bool
        size_bytes:
          description: What has to be fetched for it, layers as they are compressed. V(null) where nobody has looked.
          type: int
        created:
          description: When it was built, as its configuration says. V(null) where nobody has looked.
          type: str
    missing_platforms:
      description: Those of O(platforms) that the image is not made for. V(null) is unknown.
      type: list
      elements: str
    created:
      description: When it was built, as the index or the configurations that were read say.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.registry.images import measure
from ansible_collections.runbook.ops.plugins.module_utils.registry.options import registry_argument_spec


def argument_spec() -> dict[str, Any]:
    return registry_argument_spec()


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        measured_at = iso(utc_now())
        facts = measure(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=measured_at, **facts)


if __name__ == "__main__":
    main()
