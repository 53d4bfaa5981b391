"""One member in a process of its own, in a hurry to miss the others: prints its address and invite as JSON.

Run as a script with a name and, by name, what it takes; it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys

from dfs_sdk import Node
from dfs_sdk.peers.events import PeerJoined
from dfs_sdk.sim.swarm import hurried


async def share_with_all(node: Node, mebibytes: int) -> None:
    """Keep a file that nobody else has, and give its link to whoever joins."""
    file = await node.put(random.Random(7).randbytes(mebibytes << 20), name="only-there.bin", replicas=1, quorum=0)
    node.subscribe(PeerJoined, lambda event: node.submit(node.share(file, event.node_id)))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--join")
    parser.add_argument("--passphrase")
    parser.add_argument("--quota")
    parser.add_argument("--share", type=int, help="mebibytes of a file to give to whoever joins")
    given = parser.parse_args()
    async with Node(
        given.name, store="memory", listen="127.0.0.1:0", passphrase=given.passphrase,
        config=hurried().with_quota(given.quota),
    ) as node:  # fmt: skip
        if given.join:
            await node.join(given.join, passphrase=given.passphrase)
        if given.share:
            await share_with_all(node, given.share)
        print(json.dumps({"address": str(node.address), "invite": node.invite()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
