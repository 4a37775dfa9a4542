"""Write the table of variables in every role's README from its argument specs. With --check only say what differs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[1] / "roles"
HEADER = "| variable | type | default | meaning |\n|---|---|---|---|\n"
TABLE = re.compile(r"^\| variable \|.*\n(?:\|.*\n)*", re.MULTILINE)


def table(options: dict[str, Any]) -> str:
    """The Markdown table of a role's options."""
    return HEADER + "".join(row(name, option) for name, option in options.items())


def row(name: str, option: dict[str, Any]) -> str:
    """The line of one variable."""
    if option.get("required"):
        default = "required"
    elif "default" in option:
        default = f"`{_literal(option['default'])}`" if option["default"] != "" else "empty"
    else:
        default = "see `defaults/main.yml`"
    description = option["description"]
    text = " ".join(" ".join(description).split() if isinstance(description, list) else description.split())
    text = re.sub(r"O\([\w.]+#module:", "O(", text)
    text = re.sub(r"[COVM]\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"`\1`", text)
    cells = [f"`{name}`", option["type"], default, text]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def updated(role: Path) -> str:
    """The README with its table as it should be."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    readme = (role / "README.md").read_text(encoding="utf-8")
    wanted = table(specs["argument_specs"]["main"]["options"])
    if not TABLE.search(readme):
        raise SystemExit(f"{role / 'README.md'} has no table of variables. Put an empty one in:\n{HEADER}")
    return TABLE.sub(lambda _match: wanted, readme, count=1)


def main() -> int:
    """Write or compare every role's README: the exit status."""
    stale = []
    for role in sorted(path.parent.parent for path in ROLES.glob("*/meta/argument_specs.yml")):
        text, readme = updated(role), role / "README.md"
        if text != readme.read_text(encoding="utf-8"):
            stale.append(role.name)
            if "--check" not in sys.argv:
                readme.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        sys.stderr.write(f"Stale tables of variables in the READMEs of {', '.join(stale)}. Run make readmes.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
