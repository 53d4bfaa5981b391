"""What can be tuned in chat."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.errors import require_above_zero, require_at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """Bounds and rhythms of chat.

    Attributes:
        fanout: Peers that a new room message is sent to directly; a network up to this size gets it in one hop.
        forward_fanout: Peers that a receiver passes it on to where the network is larger than `fanout`.
        sync_interval: Seconds between two comparisons of the room with a random peer.
        call_timeout: Seconds a peer has to acknowledge a message.
        gap_timeout: Seconds to wait for a missing message of a sender before the later ones are shown.
        history_length_max: Messages kept of one conversation, beside the newest of each stream; the oldest go first.
        history_bytes_max: Bytes kept of all conversations together; the longest one is cut first.
        conversations_max: Direct conversations kept.
        streams_max: Senders' streams followed in one conversation; of more, the one silent for longest is dropped.
        pending_length_max: Messages held back per stream while an earlier one is missing.
        posts_per_second: Messages accepted from one peer a second, after a burst of `posts_burst`.
        posts_burst: Size of that burst.
        outbox_length_max: Direct messages kept for peers that are away.
    """

    fanout: int = 32
    forward_fanout: int = 3
    sync_interval: float = 5.0
    call_timeout: float = 5.0
    gap_timeout: float = 10.0
    history_length_max: int = 10_000
    history_bytes_max: int = 64 * 1024 * 1024
    conversations_max: int = 1_024
    streams_max: int = 4_096
    pending_length_max: int = 64
    posts_per_second: float = 50.0
    posts_burst: float = 200.0
    outbox_length_max: int = 1_000

    def __post_init__(self) -> None:
        require_above_zero(self, "sync_interval", "call_timeout", "gap_timeout", "posts_per_second", "posts_burst")
        require_at_least(
            1, self, "fanout", "history_length_max", "conversations_max", "streams_max", "pending_length_max"
        )
