"""The command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab")
    commands = parser.add_subparsers(dest="command", required=True)
    served = commands.add_parser("serve")
    served.add_argument("kind")
    served.add_argument("--specification", type=Path, required=True)
    served.add_argument("--ready-file", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        from lab.serve import serve

        return serve(options.kind, options.specification, options.ready_file)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
