"""What can be tuned about files: each field with its unit, its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfs_sdk.errors import require_above_zero, require_at_least
from dfs_sdk.files.chunker import CHUNK_BYTES_MAX

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesConfig:
    """Settings of uploads, downloads and the catalog; durations in seconds.

    Attributes:
        download_folder: Where `download` saves: a folder of its own, never on `sys.path`.
        upload_bytes_max: Chunk bytes of one upload that wait for their quorum.
        tail_bytes_max: Chunk bytes of one upload whose last copies follow in the background.
        upload_concurrency: Chunks of one upload being spread at one time.
        download_bytes_max: Plain bytes of one download fetched ahead of what was written.
        download_concurrency: Chunks of one download fetched at one time.
        reader_chunks_max: Chunks one open reader keeps decrypted.
        read_ahead_bytes_max: Plain bytes fetched ahead of one who reads in order; 0 for none.
        bytes_result_max: The largest file `get` returns as bytes instead of writing it to a path.
        rounds: How often all holders of a chunk are asked before it counts as unavailable.
        round_pause: Between two rounds; doubles each time.
        patience: No further round begins after this.
        audit_delay: From a change of the network to the audit it causes.
        audit_interval: Between two audits without a cause.
        catalog_files_max: Files remembered; shares are refused beyond half of that.
        shares_per_sender_max: Shares of one peer in the catalog; further ones are refused.
        transfers_max: Finished transfers remembered.
        drafts_max: Interrupted uploads that can be resumed.
        draft_seconds: How long they can be.
        call_timeout: For a share to reach a peer.
    """

    download_folder: Path = Path("dfs_downloads")
    upload_bytes_max: int = 32 * MIB
    tail_bytes_max: int = 32 * MIB
    upload_concurrency: int = 16
    download_bytes_max: int = 32 * MIB
    download_concurrency: int = 16
    reader_chunks_max: int = 8
    read_ahead_bytes_max: int = 8 * MIB
    bytes_result_max: int = 2048 * MIB
    rounds: int = 3
    round_pause: float = 0.5
    patience: float = 30.0
    audit_delay: float = 1.0
    audit_interval: float = 60.0
    catalog_files_max: int = 10_000
    shares_per_sender_max: int = 256
    transfers_max: int = 1_000
    drafts_max: int = 64
    draft_seconds: float = 7 * 86_400.0
    call_timeout: float = 10.0

    def __post_init__(self) -> None:
        # One chunk has to fit.
        require_at_least(CHUNK_BYTES_MAX, self, "upload_bytes_max", "tail_bytes_max", "download_bytes_max")
        require_at_least(
            1,
            self,
            "upload_concurrency",
            "download_concurrency",
            "reader_chunks_max",
            "rounds",
            "catalog_files_max",
            "transfers_max",
            "drafts_max",
        )
        require_above_zero(self, "audit_delay", "audit_interval", "draft_seconds", "call_timeout")
        require_at_least(0, self, "round_pause", "bytes_result_max", "read_ahead_bytes_max", "shares_per_sender_max")
