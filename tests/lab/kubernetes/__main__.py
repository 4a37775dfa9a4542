"""``python -m lab.kubernetes``."""

from __future__ import annotations

import sys

from lab.kubernetes.cli import main

sys.exit(main())
