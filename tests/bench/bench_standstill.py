"""What watching a loop for standstills costs: processor time of a process that does nothing else, with and without.

python tests/bench/bench_standstill.py [SECONDS]
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from dfs_sdk.runtime.standstill import ThreadStandstills


async def main(seconds: float) -> None:
    """Print the share of a core, idle and watched."""
    for name, watched in (("idle", False), ("watched", True)):
        end = ThreadStandstills().watch(lambda: None, after=1.0, every=10.0) if watched else None
        begun = time.process_time()
        await asyncio.sleep(seconds)
        share = (time.process_time() - begun) / seconds
        if end is not None:
            end()
        print(f"{name}: {share:.3%} of a core")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0))
