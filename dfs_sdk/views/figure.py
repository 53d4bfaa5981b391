"""The map of chunks and holders as a saved notebook keeps it: a figure, and the same as a table for reading."""

from __future__ import annotations

import base64

from dfs_sdk.errors import MissingExtraError
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.views import frames, html, plots

KEPT_BYTES_MAX = 2_000_000


def chunk_map(snapshot: NodeSnapshot) -> dict[str, str]:
    """Show who holds which chunk, as `text/html` and, if it can be drawn, as `image/png` in base64.

    Args:
        snapshot: The node's; without chunks there is nothing to show, and the result is empty.
    """
    if not snapshot.chunks:
        return {}
    try:
        drawn = plots.chunks_png(frames.chunks(snapshot))
    except MissingExtraError:
        drawn = b""
    image = base64.b64encode(drawn).decode() if len(drawn) <= KEPT_BYTES_MAX else ""
    shown = {"text/html": html.chunks_card(snapshot.chunks, image=image)}
    return {**shown, "image/png": image} if image else shown
