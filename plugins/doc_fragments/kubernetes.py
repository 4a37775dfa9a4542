# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that Kubernetes modules share; module_utils/kubernetes/options.py and waiting.py say the same."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach the API server of a Kubernetes cluster."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - File that says how to reach clusters. Without it and without O(host), the file that C(kubectl) uses, and inside
        of a pod, the pod's service account.
      - If the value is not specified in the task, environment variable E(K8S_AUTH_KUBECONFIG) will be used instead.
    type: path
  context:
    description:
      - The context of the file. Its current context, if not given.
      - If the value is not specified in the task, environment variable E(K8S_AUTH_CONTEXT) will be used instead.
    type: str
  host:
    description:
      - Address of the API server, such as V(https://k8s.example.com:6443). It takes precedence over the file's, and
        without O(kubeconfig) and O(context) no file is read at all.
      - If the value is not specified in the task, environment variable E(K8S_AUTH_HOST) will be used instead.
    type: str
  api_key:
    description:
      - Token to log in with.
      - If the value is not specified in the task, environment variable E(K8S_AUTH_API_KEY) will be used instead.
    type: str
  validate_certs:
    description:
      - Whether the server's certificate is verified. If not given, as the file says, which is yes as a rule.
      - If the value is not specified in the task, environment variable E(K8S_AUTH_VERIFY_SSL) will be used instead.
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description:
      - File with the certificates of the authorities that may have signed the server's certificate.
      - If the value is not specified in the task, environment variable E(K8S_AUTH_SSL_CA_CERT) will be used instead.
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description:
      - File with the certificate to log in with. Goes together with O(client_key).
      - If the value is not specified in the task, environment variable E(K8S_AUTH_CERT_FILE) will be used instead.
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - File with the key of O(client_cert).
      - If the value is not specified in the task, environment variable E(K8S_AUTH_KEY_FILE) will be used instead.
    type: path
    aliases: [key_file]
  proxy:
    description:
      - Address of an HTTP proxy to reach the server through.
      - If the value is not specified in the task, environment variable E(K8S_AUTH_PROXY) will be used instead.
    type: str
  connect_timeout:
    description:
      - Seconds to wait for a connection.
    type: float
    default: 5
  read_timeout:
    description:
      - Seconds to wait for each piece of an answer.
    type: float
    default: 20
requirements:
  - kubernetes >= 29 (Python library) on the host that executes the module
notes:
  - An empty string in a connection option means that it is not given.
"""

    # Of modules that change what a Git repository may declare.
    GITOPS = r"""
options:
  gitops:
    description:
      - What happens when Argo CD or Flux would put an object back to what a Git repository says. V(refuse) changes
        nothing and fails, V(warn) changes it and says so, and V(ignore) does not look.
    type: str
    choices: [refuse, warn, ignore]
    default: refuse
"""

    # Of modules that wait until it is so. What that means, and how long it may take, is each one's own.
    WAIT = r"""
options:
  wait_sleep:
    description:
      - Seconds between two looks.
    type: float
    default: 2
"""

    # Of modules that wait for new pods.
    POD_WAIT = r"""
options:
  wait_sleep:
    description:
      - Seconds between two looks.
    type: float
    default: 2
  give_up_after:
    description:
      - Seconds after which waiting ends early, because the same new pod has had the same trouble all the time, such as
        an image that cannot be pulled, a missing key of a Secret, or a container that crashes. V(0) for never. Pods of
        a DaemonSet are waited for until the time is over.
    type: float
    default: 120
  progress_path:
    description:
      - File that the module keeps up to date with where it is. The collection's action sets it, in order to print
        progress; there is no need to set it by hand.
    type: path
"""
