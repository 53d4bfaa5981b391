"""Nodes that lie: inside they are real nodes of which some answers were exchanged.

They confirm chunks they do not keep, claim to hold whatever they are asked about, hand out wrong bytes, and name peers
that do not exist. What no liar can do is in the threat model: forge signatures, descriptions or chunks that hash right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht.messages import FindNode, Found
from dfs_sdk.exchange.messages import Fetch, Fetched, Have, HaveStates, HolderLoad, Push, Pushed
from dfs_sdk.node.node import Node
from dfs_sdk.rpc.base import Caller
from dfs_sdk.rpc.router import Router
from dfs_sdk.runtime.ports import Entropy, Rng
from dfs_sdk.store.base import Role
from dfs_sdk.transport.contact import Contact

Handler = Callable[[Caller, Any, memoryview], Awaitable[Any]]

LIE_RATIO = 0.7
WRONG_BYTES = 1000
GHOSTS = 20
IDLE = HolderLoad(queue=0, service_time=0.0)


class Liar:
    """Exchanges handlers of a running node.

    Args:
        node: The node.
        rng: Decides when it lies.
        entropy: Makes up bytes and peers.
    """

    def __init__(self, node: Node, *, rng: Rng, entropy: Entropy) -> None:
        self._rng = rng
        self._entropy = entropy
        self._ghosts = [Identity.generate(entropy).public for _ in range(GHOSTS)]
        stack = node._running  # noqa: SLF001 - the liar sits inside
        router: Router = stack.rpc._router  # noqa: SLF001 - the same
        self._exchange(router, Push, self._confirm)
        self._exchange(router, Fetch, self._garble)
        self._exchange(router, Have, self._claim)
        self._exchange(router, FindNode, self._poison)

    def _exchange(self, router: Router, request: Any, lie: Callable[..., Awaitable[Any]]) -> None:
        route = router._routes[request.tag]  # noqa: SLF001 - the liar sits inside
        told, at_once = route.handler, route.at_once

        async def honest(caller: Caller, question: Any, body: memoryview) -> Any:
            answer = told(caller, question, body)
            return answer if at_once else await answer

        async def handler(caller: Caller, question: Any, body: memoryview) -> Any:
            if self._rng.random() >= LIE_RATIO:
                return await honest(caller, question, body)
            return await lie(honest, caller, question, body)

        route.handler, route.at_once = handler, False

    async def _confirm(self, _honest: Handler, _caller: Caller, question: Push, _body: memoryview) -> Pushed:
        return Pushed(role=question.role, already=False, load=IDLE)

    async def _garble(
        self, _honest: Handler, _caller: Caller, _question: Fetch, _body: memoryview
    ) -> tuple[Fetched, bytes]:
        return Fetched(cell=0, removal_hash=b"", load=IDLE), self._entropy.token(WRONG_BYTES)

    async def _claim(self, _honest: Handler, _caller: Caller, question: Have, _body: memoryview) -> HaveStates:
        states = bytes([Role.PRIMARY.value]) * len(question.chunk_ids)
        return HaveStates(states=states, removal_keys=(), load=IDLE)

    async def _poison(self, honest: Handler, caller: Caller, question: FindNode, body: memoryview) -> Found:
        found: Found = await honest(caller, question, body)
        named = zip(self._ghosts, found.contacts, strict=False)
        ghosts = tuple(Contact(ed=ghost.ed, x=ghost.x, addresses=real.addresses) for ghost, real in named)
        return replace(found, contacts=ghosts)
