"""The serving side: what peers may put here, take from here, ask and remove.

Everything a peer sends is checked before the store sees it; the store holds the bytes against their id and answers only
when they are on disk, so a `Pushed` reply is a receipt. Giving chunks is a room of its own (`giving`). Rules P-EXC-1 to
P-EXC-3 and P-EXC-10 to P-EXC-12.
"""

from __future__ import annotations

from dfs_sdk.errors import (
    ProtocolError,
    QuotaExceededError,
    StoreError,
    StoreReadOnlyError,
)
from dfs_sdk.exchange.config import SEALED_BYTES_MAX, ExchangeConfig
from dfs_sdk.exchange.giving import Giving
from dfs_sdk.exchange.messages import (
    REMOVAL_KEYS_MAX,
    STATE_ABSENT,
    STATE_REMOVED,
    Fetch,
    Have,
    HaveStates,
    Push,
    Pushed,
    Remove,
    Removed,
)
from dfs_sdk.exchange.tombstones import Tombstones
from dfs_sdk.exchange.workload import Workload
from dfs_sdk.ids import ChunkId
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode, RpcService
from dfs_sdk.store.base import REMOVAL_HASH_BYTES, ChunkStore, NewChunk, Role


class Holder:
    """Answers the calls of `messages.py` from one store."""

    def __init__(
        self,
        store: ChunkStore,
        *,
        giving: Giving,
        tombstones: Tombstones,
        workload: Workload,
        config: ExchangeConfig,
    ) -> None:
        self._store = store
        self._giving = giving
        self._tombstones = tombstones
        self._workload = workload
        self._config = config

    def serve(self, rpc: RpcService) -> None:
        """Register the handlers."""
        rpc.serve(Push, self._on_push, concurrency_max=self._config.push_concurrency)
        rpc.serve(Fetch, self._giving.on_fetch, concurrency_max=self._config.fetch_concurrency, bulk=True)
        rpc.serve(Have, self._on_have)
        rpc.serve(Remove, self._on_remove)

    async def _on_push(self, _caller: Caller, request: Push, body: memoryview) -> Pushed:
        self._check_push(request, body)
        self._check_owner(request)
        already = request.chunk_id in self._store
        with self._workload.working():
            await self._keep(
                NewChunk(
                    chunk_id=request.chunk_id,
                    data=body,
                    cell=request.cell,
                    role=request.role,
                    removal_hash=request.removal_hash,
                    replicas=max(request.replicas, 1),
                )
            )
        info = self._store.info(request.chunk_id)
        if info is None:  # removed again while this call came back from the disk
            raise Refusal(RefusalCode.DENIED, "the chunk was removed meanwhile")
        self._check_owner(request)  # two may have pushed it at one time
        return Pushed(role=info.role, already=already, load=self._workload.load)

    def _check_push(self, request: Push, body: memoryview) -> None:
        if not 0 < len(body) <= SEALED_BYTES_MAX:
            raise Refusal(RefusalCode.TOO_LARGE, f"a chunk has 1 to {SEALED_BYTES_MAX} bytes")
        if request.cell >= self._config.cells:
            raise Refusal(RefusalCode.DENIED, f"this network has {self._config.cells} cells")
        if len(request.removal_hash) not in (0, REMOVAL_HASH_BYTES):
            raise Refusal(RefusalCode.DENIED, "a removal hash has 32 bytes or none")
        if self._tombstones.forbids(request.chunk_id, request.removal_hash):
            raise Refusal(RefusalCode.DENIED, "its owner removed this chunk")

    def _check_owner(self, request: Push) -> None:
        """Refuse a receipt for a copy that somebody else could remove; a cache copy gives nobody a right."""
        info = self._store.info(request.chunk_id)
        if info is None or info.role is Role.CACHE or not request.removal_hash or not info.removal_hash:
            return
        if info.removal_hash != request.removal_hash:
            raise Refusal(RefusalCode.DENIED, "this chunk is held for another owner")

    async def _keep(self, chunk: NewChunk) -> None:
        try:
            await self._store.put([chunk])
        except ProtocolError:
            raise Refusal(RefusalCode.DENIED, "the bytes do not hash to the chunk's id") from None
        except (QuotaExceededError, StoreReadOnlyError):
            raise Refusal(RefusalCode.STORE_FULL, "no room for this chunk") from None
        except StoreError:
            raise Refusal(RefusalCode.FAILED, "the disk refused") from None

    async def _on_have(self, _caller: Caller, request: Have, _body: memoryview) -> HaveStates:
        keys: dict[bytes, int] = {}
        states = bytes(self._state(chunk_id, keys) for chunk_id in request.chunk_ids)
        return HaveStates(states=states, removal_keys=tuple(keys), load=self._workload.load)

    def _state(self, chunk_id: ChunkId, keys: dict[bytes, int]) -> int:
        info = self._store.info(chunk_id)
        if info is not None:
            return info.role.value
        removal_key = self._tombstones.key_of(chunk_id)
        if removal_key is None or (removal_key not in keys and len(keys) >= REMOVAL_KEYS_MAX):
            return STATE_ABSENT
        return STATE_REMOVED + keys.setdefault(removal_key, len(keys))

    async def _on_remove(self, _caller: Caller, request: Remove, _body: memoryview) -> Removed:
        try:
            removed = await self._tombstones.remove(request.chunk_ids, request.removal_key)
        except StoreError:
            raise Refusal(RefusalCode.FAILED, "the disk refused") from None
        return Removed(count=len(removed))
