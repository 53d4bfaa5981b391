"""What can be tuned in the transport: each field with its unit, its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.errors import ConfigError, require_at_least

KIB = 1024
MIB = 1024 * KIB

DATAGRAM_BYTES_MIN = 1200
DATAGRAM_BYTES_MAX = 65_507  # the largest UDP payload over IPv4
MESSAGE_BYTES_MAX = 4 * MIB + 64 * KIB
# The whole rungs of path MTU discovery: the IPv6 minimum, Ethernet behind a tunnel, jumbo frames, loopback.
MTU_LADDER = (1200, 1452, 8952, 32_768, 65_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportConfig:
    """Settings of one endpoint; durations in seconds.

    Attributes:
        datagram_bytes_max: Where path MTU discovery stops, 1,200 … 65,507.
        connections_max: Established connections; a new one beyond that takes the place of the longest silent.
        sessions_per_prefix_max: Connections from one public /24 (IPv6 /56); private and loopback ranges are exempt.
        half_open_max: Handshakes answered and not yet confirmed by the peer.
        handshakes_per_second: Handshakes answered for one source prefix; loopback is exempt.
        handshake_burst: How many may come at once before that rate applies.
        handshakes_under_load: Handshakes a second in total above which cookies are demanded.
        handshake_timeout: A handshake without an answer, and a half-open one without confirmation, ends after this.
        keep_alive_interval: A silent connection sends a PING this often, below the 30 s of common NAT tables.
        idle_timeout: A connection nothing arrived on for this long is closed; notebooks block for minutes.
        ack_delay_max: The longest a single packet waits for its acknowledgement.
        pto_max: Upper bound of the back-off of retransmissions: a peer that wakes is served within this time.
        rekey_interval: Age at which a sending key is replaced.
        rekey_packets: Packets after which a sending key is replaced.
        window_bytes_max: What one peer may have under way to us.
        window_bytes_total: What all peers together may have under way to us.
        send_queue_bytes_max: `Connection.send` waits while more than this is queued for the peer.
        stall_timeout: A peer that is heard from but does not advance a message it began is closed after this.
        close_drain: How long `close` may take to tell the peers.
    """

    datagram_bytes_max: int = 65_000
    connections_max: int = 512
    sessions_per_prefix_max: int = 8
    half_open_max: int = 1024
    handshakes_per_second: float = 20.0
    handshake_burst: int = 5
    handshakes_under_load: float = 200.0
    handshake_timeout: float = 10.0
    keep_alive_interval: float = 20.0
    idle_timeout: float = 300.0
    ack_delay_max: float = 0.025
    pto_max: float = 5.0
    rekey_interval: float = 600.0
    rekey_packets: int = 2**22
    window_bytes_max: int = 16 * MIB
    window_bytes_total: int = 128 * MIB
    send_queue_bytes_max: int = 8 * MIB
    stall_timeout: float = 60.0
    close_drain: float = 0.25

    def __post_init__(self) -> None:
        if not DATAGRAM_BYTES_MIN <= self.datagram_bytes_max <= DATAGRAM_BYTES_MAX:
            raise ConfigError(
                f"datagram_bytes_max must be {DATAGRAM_BYTES_MIN} … {DATAGRAM_BYTES_MAX}, not {self.datagram_bytes_max}"
            )
        if not MESSAGE_BYTES_MAX <= self.window_bytes_max <= self.window_bytes_total // 4:
            raise ConfigError(
                f"window_bytes_max must be at least {MESSAGE_BYTES_MAX} (one message) and at most a quarter of "
                "window_bytes_total"
            )
        if not 1 <= self.rekey_packets <= 2**31:
            raise ConfigError(f"rekey_packets must be 1 … 2³¹, not {self.rekey_packets}")
        require_at_least(1, self, "connections_max", "sessions_per_prefix_max", "half_open_max", "handshake_burst")
