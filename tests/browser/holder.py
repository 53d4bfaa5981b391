"""One member in a process of its own, in a hurry to miss the others: prints its address and invite as JSON.

Run as a script with a name and, by name, what it takes; it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from dfs_sdk import Node
from dfs_sdk.sim.swarm import hurried


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--join")
    parser.add_argument("--passphrase")
    parser.add_argument("--quota")
    given = parser.parse_args()
    async with Node(
        given.name, store="memory", listen="127.0.0.1:0", passphrase=given.passphrase,
        config=hurried().with_quota(given.quota),
    ) as node:  # fmt: skip
        if given.join:
            await node.join(given.join, passphrase=given.passphrase)
        print(json.dumps({"address": str(node.address), "invite": node.invite()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
