"""Python imports this at its start where this folder is on its path: plants the bug that the environment describes.

So a bug is in every process that a test starts, too.
"""

from __future__ import annotations

import os

if text := os.environ.get("PLANTED_BUG"):
    from tests.drill.planting import Planter, edits_from

    Planter(edits_from(text)).install()
