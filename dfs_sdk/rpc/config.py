"""What can be tuned in the calls: each field with its unit, its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.errors import ConfigError, require_above_zero
from dfs_sdk.ids import Address
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """Settings of the calls of one node; durations in seconds.

    Attributes:
        connect_timeout_max: The longest that connecting on demand may take out of a call's time-out.
        handler_timeout_max: A handler ends after this, whatever the caller allows it.
        peer_calls_max: Calls of one peer that run or wait here; further ones are refused as BUSY.
        peer_bytes_max: Bytes of requests of one peer held here; further ones are refused as BUSY.
        total_bytes_max: The same for all peers together.
        peer_refusals_max: Refusals that one peer has not acknowledged; beyond that it does not listen: it is
            disconnected.
        peer_reply_bytes_max: Bytes of replies that one peer has not acknowledged; further ones wait outside of their
            turns, and no call of it is begun.
        total_reply_bytes_max: The same for all peers together, of which none may hold more than the others could still
            get. While it is nearly used up, a peer that holds much and takes hardly anything is disconnected.
        advertised: Addresses that the user says we are reached at, named before all others.
    """

    connect_timeout_max: float = 10.0
    handler_timeout_max: float = 120.0
    peer_calls_max: int = 1024
    peer_bytes_max: int = 32 * MIB
    total_bytes_max: int = 256 * MIB
    peer_refusals_max: int = 256
    peer_reply_bytes_max: int = 16 * MIB
    total_reply_bytes_max: int = 128 * MIB
    advertised: tuple[Address, ...] = ()

    def __post_init__(self) -> None:
        require_above_zero(self, "connect_timeout_max", "handler_timeout_max", "peer_calls_max", "peer_refusals_max")
        if not MESSAGE_BYTES_MAX <= self.peer_bytes_max <= self.total_bytes_max:
            raise ConfigError("peer_bytes_max must hold one message of 4 MiB + 64 KiB and be at most total_bytes_max")
        if not 0 < self.peer_reply_bytes_max <= self.total_reply_bytes_max:
            raise ConfigError("peer_reply_bytes_max must be above 0 and at most total_reply_bytes_max")
