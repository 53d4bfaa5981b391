"""Two members in a process of their own, as on another machine: prints their address, answers chat with hostile text.

Run as a script; it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

from dfs_sdk import Node
from dfs_sdk.events import Event

HOSTILE = (
    '<img src=x onerror="window.pwned=1"> <script>window.pwned=1</script>'
    " $\\href{javascript:window.pwned=1}{x}$ \x1b[31m\u202e"
)


async def main() -> None:
    async with (
        Node("ben", store="memory", listen="127.0.0.1:0") as ben,
        Node("<b>cyd</b>", store="memory", listen="127.0.0.1:0") as cyd,
    ):
        await cyd.join(str(ben.address))
        answered: list[bool] = []

        def answer(_event: Event) -> None:
            asked = any(row.text == "ping" for row in ben.snapshot().messages)
            if asked and not answered:
                answered.append(True)
                ben.submit(ben.chat.send(HOSTILE))

        ben.subscribe(Event, answer)
        print(ben.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
