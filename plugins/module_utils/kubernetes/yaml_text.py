# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests as YAML that kubectl and PyYAML read alike."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from typing import Any, Optional

IMPORT_ERROR: Optional[str] = None
# How a text that is none fails: as such, by a value that is not what its tag says, by too many levels.
NOT_YAML: tuple[type[Exception], ...] = (ValueError, RecursionError)
try:
    import yaml

    NOT_YAML = (yaml.YAMLError, *NOT_YAML)
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

# kubectl takes these for numbers and booleans, and PyYAML does not, so it would not put them into quotes.
_AMBIGUOUS = re.compile(r"[yn]|[-+]?[.]?[0-9].*", re.IGNORECASE | re.DOTALL)


def dumped(manifest: Mapping[str, Any]) -> str:
    """One document, with its first line."""
    return "---\n" + str(yaml.dump(manifest, Dumper=_dumper(), sort_keys=False, allow_unicode=False))


def loaded(text: str) -> list[Any]:
    """All documents; raises one of C(NOT_YAML)."""
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _dumper() -> Any:
    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    def represent(dumper: Any, value: str) -> Any:
        style = '"' if _AMBIGUOUS.fullmatch(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    made: Any = type("Dumper", (base,), {})
    made.add_representer(str, represent)
    return made
