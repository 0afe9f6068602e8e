"""The targets are a package beside the tests: `child.py` and `replay.py` import it by the same name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
