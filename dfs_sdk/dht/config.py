"""What can be tuned in the DHT: each field with its unit, its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dfs_sdk.errors import ConfigError, require_at_least

HOUR = 3600.0
# Fixed by the protocol, not tuned: others check it, too.
LIFETIME_MAX = 48 * HOUR
VALUE_BYTES_MAX = 1000
CONTACTS_MAX = 20
RECORDS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtConfig:
    """Settings of one node; durations in seconds.

    Attributes:
        bucket_size: Contacts a bucket, and nodes a record is stored on (Kademlia's k), 1 … 20.
        parallel: Questions under way on one path (Kademlia's alpha).
        paths: Disjoint paths of a lookup for nodes: one liar spoils one path (S/Kademlia's d).
        content_paths: The same for records, where there is more to gain from lying.
        finish_count: A path ends when so many of its closest nodes have answered.
        queries_max: Questions of one lookup, whatever it is told.
        lies_max: Contacts one node names in vain before its other ones are dropped from the lookup.
        query_timeout: One question, connecting included.
        lookup_timeout: One lookup; it then goes by what it has.
        bucket_prefix_max: Contacts of one /24 (IPv6 /48) a bucket.
        table_prefix_max: The same for the whole table.
        failures_max: Questions in a row without an answer before a contact gives way to a waiting one.
        serve_after: Uptime at which a node with a global address asks others to enter it: most newcomers leave soon.
        record_lifetime: From publication to expiry, at most 48 h.
        republish_ratio: Share of that lifetime after which a record is published again.
        republish_jitter: Relative spread of that moment.
        records_max: Records held for others.
        owner_records_max: Records of one owner among them.
        prefix_records_max: Records written from one /24 (IPv6 /48) among them.
        token_lifetime: How long a write token is good; twice that at most.
        refresh_interval: A bucket without a lookup for this long is looked into.
        maintain_interval: How often due work is looked for.
        publish_parallel: Publications under way at one time.
        good_peers_max: Contacts remembered across restarts.
        anchors_max: Of those, the longest known: they are asked first, so that an attacker cannot take all of them.
    """

    bucket_size: int = 20
    parallel: int = 3
    paths: int = 4
    content_paths: int = 8
    finish_count: int = 3
    queries_max: int = 200
    lies_max: int = 5
    query_timeout: float = 2.0
    lookup_timeout: float = 20.0
    bucket_prefix_max: int = 2
    table_prefix_max: int = 3
    failures_max: int = 2
    serve_after: float = 60.0
    record_lifetime: float = 0.5 * HOUR
    republish_ratio: float = 0.4
    republish_jitter: float = 0.2
    records_max: int = 1000
    owner_records_max: int = 64
    prefix_records_max: int = 32
    token_lifetime: float = 300.0
    refresh_interval: float = 600.0
    maintain_interval: float = 10.0
    publish_parallel: int = 4
    good_peers_max: int = 64
    anchors_max: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.bucket_size <= CONTACTS_MAX:
            raise ConfigError(f"bucket_size must be 1 … {CONTACTS_MAX}, not {self.bucket_size}")
        if not 0 < self.record_lifetime <= LIFETIME_MAX:
            raise ConfigError(f"record_lifetime must be above 0 and at most {LIFETIME_MAX:.0f} s")
        if not 0 < self.republish_ratio * (1 + self.republish_jitter) < 1:
            raise ConfigError("republish_ratio and republish_jitter must let a record be published before it expires")
        require_at_least(1, self, "parallel", "paths", "content_paths", "finish_count", "publish_parallel")
        if not 0 < self.good_peers_max <= 64 or not 0 <= self.anchors_max <= self.good_peers_max:
            raise ConfigError("good_peers_max must be 1 … 64 and anchors_max at most that")

    @classmethod
    def quick(cls) -> Self:
        """Settings for a swarm in one notebook cell: the same rules, shorter times."""
        return cls(query_timeout=1.0, lookup_timeout=5.0, serve_after=0.0, maintain_interval=1.0)
