# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that write encrypted backups; module_utils/backup/encryption.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """For whom backups are encrypted."""

    DOCUMENTATION = r"""
options:
  encryption:
    description:
      - Encrypt on the way, before anything is stored. Only public keys are needed where backups are written; keep the
        private key where they are recovered, and prove backups from there.
    type: dict
    suboptions:
      method:
        description:
          - The program that encrypts, C(age) (age-encryption.org) or C(gpg) (GnuPG). The host must have it.
        type: str
        choices: [age, gpg]
        required: true
      recipients:
        description:
          - The recipients. For V(age) public keys (C(age1…)) or SSH keys (C(ssh-ed25519 …)), for V(gpg) fingerprints
            or addresses of keys in the keyring.
        type: list
        elements: str
        default: []
      recipients_file:
        description:
          - A file with recipients. For V(age) one a line, for V(gpg) one public key.
        type: path
      gnupg_home:
        description:
          - GnuPG's directory, if it is not that of the account.
        type: path
"""
