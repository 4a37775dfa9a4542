# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that read encrypted backups; module_utils/backup/encryption.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """The recovery side's private keys."""

    DOCUMENTATION = r"""
options:
  decryption:
    description:
      - The private key for encrypted backups, on the host that executes the module. A backup that none of these keys
        opens is not judged, because that may be the fault of the keys.
    type: dict
    suboptions:
      identity_file:
        description:
          - The file with the identity of C(age), or a private SSH key without a passphrase.
        type: path
      gnupg_home:
        description:
          - GnuPG's directory with the private key, if it is not that of the account.
        type: path
      passphrase:
        description:
          - The passphrase of GnuPG's private key, if it has one. It is handed over through a pipe.
        type: str
"""
