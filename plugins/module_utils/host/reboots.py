# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the machine has to be started again for what was installed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Optional

# Who built a kernel is no flavour: 6.12.43+deb13-amd64 comes after 6.1.0-9-amd64, 6.6.20+rpt-rpi-v8 after
# 6.1.0-rpi8-rpi-v8.
_ORIGIN = re.compile(r"(deb|rpi)\d+|(bpo|rpt)\d*")


def version_key(version: str) -> tuple[Any, ...]:
    """Sorts kernel versions by their numbers: 6.1.0-9 before 6.1.0-10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|[a-z]+", version))


def flavour(version: str) -> str:
    """What a kernel was built for: C(cloud-amd64), C(generic), C(el9.x86_64). Never compared with another."""
    words = re.split(r"[-.+]", version)
    kept = [word for word in words if re.search(r"[a-z]", word, re.IGNORECASE) and not _ORIGIN.fullmatch(word)]
    # el9_2 and el9_3 are one flavour.
    return "-".join(re.sub(r"^(el|fc)(\d+).*", r"\1\2", word) for word in kept)


def newest_kernel(running: str, installed: Iterable[str]) -> Optional[str]:
    """The newest installed kernel of the running one's flavour; None when none of it is installed."""
    same = [each for each in installed if flavour(each) == flavour(running)]
    return max(same, key=version_key) if same else None


def reboot_facts(
    running: str,
    installed: Sequence[str],
    flag: Optional[bool],
    packages: Sequence[str],
    restarting: Optional[tuple[bool, str]],
    container: str,
) -> dict[str, Any]:
    """Whether it is needed, and why.

    Args:
        running: The running kernel.
        installed: The kernels that lie in /lib/modules.
        flag: Whether Debian's /run/reboot-required is there; None where nothing writes it.
        packages: What asked for it.
        restarting: The answer of C(needs-restarting -r) on machines of the Red Hat family, and its words.
        container: What kind of container this is; empty for a machine. A container has no kernel of its own.

    """
    newest = None if container else newest_kernel(running, installed)
    reasons = []
    if flag:
        names = ", ".join(packages[:5]) + (f" and {len(packages) - 5} more" if len(packages) > 5 else "")
        reasons.append(f"asked for by {names}" if names else "/run/reboot-required is there")
    if restarting is not None and restarting[0]:
        reasons.append(restarting[1] or "needs-restarting says so")
    if newest is not None and version_key(newest) > version_key(running):
        reasons.append(f"kernel {newest} is installed, {running} runs")
    known = flag is not None or restarting is not None or newest is not None or bool(container)
    return {
        "is_needed": True if reasons else (False if known else None),
        "reasons": reasons,
        "reason": "; ".join(reasons) or None,
        "packages": list(packages),
        "running_kernel": running,
        "newest_kernel": newest,
    }
