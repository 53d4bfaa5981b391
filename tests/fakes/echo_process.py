"""A process that sends every message back.

Run as `python -m tests.fakes.echo_process BACKEND`; it prints its port and ends with its input.
"""

from __future__ import annotations

import asyncio
import sys

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.transport.driver import Transport
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.priority import Priority


async def main(udp: str) -> None:
    runtime = system_runtime(udp=udp)
    transport = Transport(
        runtime=runtime,
        identity=Identity.generate(runtime.entropy),
        network=Network(network_id=NetworkId(b"s" * 32)),
        bind=Address("127.0.0.1", 0),
    )
    messages: asyncio.Queue = asyncio.Queue()
    transport.on_message = lambda connection, data: messages.put_nowait((connection, data))
    await transport.start()
    print(transport.local_address.port, flush=True)

    async def echo() -> None:
        while True:
            connection, data = await messages.get()
            await connection.send([data], priority=Priority.TRANSFER)

    echoing = asyncio.create_task(echo())
    await asyncio.to_thread(sys.stdin.read)
    echoing.cancel()
    await transport.close()
    await runtime.offload.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
