"""Static cards: rows as HTML that is safe for whatever texts peers sent, in dark and light themes, without scripts.

Every tag stands in a `Markup` template of this module, and every value enters it through `Markup.format`, which
escapes. No card starts I/O, loads anything or holds a secret: a link shows as its masked `repr`. The class names at
the root keep MathJax from typesetting a `$` of a foreign text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from dfs_sdk.node.snapshot import ChunkRow, EventRow, FileRow, MessageRow, NodeSnapshot, PeerRow, TransferRow
from dfs_sdk.views import text, words

ROWS_SHOWN_MAX = 100
NEWS_SHOWN_MAX = 20
_SHOWN_ALONE = frozenset({"messages", "transfers"})

_STYLE = Markup("""<style>
.dfs-card{color-scheme:inherit;color:var(--vscode-foreground,var(--jp-ui-font-color1,light-dark(#1f2328,#e6edf3)));
font:13px/1.45 var(--vscode-font-family,var(--jp-ui-font-family,system-ui,sans-serif));max-width:60em}
.dfs-card table{border-collapse:collapse;margin:.3em 0;font-size:inherit}
.dfs-card th,.dfs-card td{padding:.15em .9em .15em 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}
.dfs-card th{font-weight:600;white-space:nowrap;
color:var(--vscode-descriptionForeground,var(--jp-ui-font-color2,light-dark(#59636e,#9198a1)))}
.dfs-card .dfs-rows tr{border-bottom:1px solid
var(--vscode-panel-border,var(--jp-border-color2,light-dark(#d1d9e0,#3d444d)))}
.dfs-card .dfs-title{font-weight:600;font-size:1.1em}
.dfs-card .dfs-quiet{color:var(--vscode-descriptionForeground,var(--jp-ui-font-color2,light-dark(#59636e,#9198a1)))}
.dfs-card summary{cursor:pointer;padding:.15em 0}
.dfs-card details{margin-left:.2em}
.dfs-card code{font-family:var(--jp-code-font-family,monospace);background:none}
</style>""")
_CARD = Markup(
    '<div class="dfs-card tex2jax_ignore mathjax_ignore">{style}<div class="dfs-title">{title}</div>{body}</div>'
)
_QUIET = Markup('<div class="dfs-quiet">{}</div>')
_PAIRS = Markup("<table><tbody>{}</tbody></table>")
_PAIR = Markup('<tr><th scope="row">{}</th><td>{}</td></tr>')
_ROWS = Markup('<table class="dfs-rows"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>')
_HEAD = Markup('<th scope="col">{}</th>')
_ROW = Markup("<tr>{}</tr>")
_CELL = Markup("<td>{}</td>")
_CODE = Markup("<code>{}</code>")
_IMAGE = Markup('<img src="data:image/png;base64,{}" alt="{}" style="max-width:100%">')
_DETAILS = Markup("<details><summary>{}</summary>{}</details>")
_UNFOLDED = Markup("<details open><summary>{}</summary>{}</details>")


def node_card(snapshot: NodeSnapshot, *, unfold: str = "") -> str:
    """Show a node: state and health in words, and its files, members and news to unfold.

    Args:
        snapshot: The node's.
        unfold: What to show unfolded: `files`, `members`, `news`, or `messages` or `transfers`, which show only then.
            Of the messages those to everybody: a saved notebook is handed on, and a direct conversation is not.
    """
    facts = [
        ("state", words.visible(snapshot.state)),
        ("health", words.visible(snapshot.health)),
        ("address", _CODE.format(words.visible(snapshot.address)) if snapshot.address else "none yet"),
        ("id", _CODE.format(words.short_id(snapshot.node_id))),
        ("network", _network(snapshot)),
        ("stores", f"{words.size(snapshot.used_bytes)} of {words.size(snapshot.capacity_bytes)}"),
    ]
    said = [row for row in snapshot.messages if not row.room_id]
    parts: dict[str, tuple[str, Callable[[Any], Markup], Sequence[object]]] = {
        "messages": (words.count(len(said), "message"), _message_rows, said),
        "transfers": (words.count(len(snapshot.transfers), "transfer"), _transfer_rows, snapshot.transfers),
        "files": (words.count(len(snapshot.files), "file"), _file_rows, snapshot.files),
        "members": (words.count(len(snapshot.peers), "member"), _peer_rows, snapshot.peers),
        "news": ("news", partial(_news_rows, snapshot.at_wall), snapshot.events),
    }
    shown = [
        _fold(summary, draw(rows), rows, unfolded=key == unfold)
        for key, (summary, draw, rows) in parts.items()
        if key == unfold or key not in _SHOWN_ALONE
    ]
    return _card(f"Node {_name(snapshot.name)}", _pairs(facts) + Markup().join(shown))


def file_card(row: FileRow, chunks: Sequence[ChunkRow] = ()) -> str:
    """Show a file, and where each copy of its chunks lies to unfold.

    Args:
        row: The file.
        chunks: Its rows of the chunk table; may be empty.
    """
    facts = [
        ("size", f"{words.size(row.size)} in {words.count(row.chunks, 'chunk')}"),
        ("health", words.visible(row.health)),
        ("copies", f"{text.copies(row)} of the scarcest chunk"),
        ("pinned here", "yes" if row.pinned else "no"),
        ("origin", words.visible(row.origin)),
        ("id", _CODE.format(words.short_id(row.file_id))),
    ]
    copies = [
        (_chunk_label(each), _name(each.holder), words.visible(each.role), words.state(each.state),
         words.visible(each.why, length_max=300))
        for each in chunks[:ROWS_SHOWN_MAX]
    ]  # fmt: skip
    table = _rows(("chunk", "holder", "role", "holder is", "why there"), copies, len(chunks))
    return _card(
        f"File {_name(row.name)}", _pairs(facts) + _fold(words.count(len(chunks), "copy", "copies"), table, chunks)
    )


def chunks_card(chunks: Sequence[ChunkRow], *, image: str = "") -> str:
    """Show who holds which chunk: a picture, and a table to unfold.

    Args:
        chunks: One row per copy.
        image: A PNG in base64; may be empty.
    """
    held: dict[tuple[str, int, str], list[str]] = {}
    for row in sorted(chunks, key=lambda row: (row.file, row.chunk, row.chunk_id, row.holder)):
        copy = f"{_name(row.holder)}: {words.visible(row.role)} ({words.state(row.state)})"
        held.setdefault((row.file, row.chunk, row.chunk_id), []).append(copy)
    lines = [
        (_name(file), "manifest" if chunk < 0 else chunk, ", ".join(copies))
        for (file, chunk, _), copies in list(held.items())[:ROWS_SHOWN_MAX]
    ]
    table = _rows(("file", "chunk", "holders"), lines, len(held))
    holders = len({row.holder_id for row in chunks})
    title = f"{words.count(len(held), 'chunk')} on {words.count(holders, 'holder')}"
    picture = _IMAGE.format(image, f"Map of {title}; the table below says the same") if image else Markup()
    return _card(title, picture + _fold("The same as a table", table, lines))


def link_card(link: object) -> str:
    """Show a link without giving it away."""
    note = "Whoever has the full text can read the file. str(link) gives it; this card does not."
    return _card("Link", _CODE.format(text.link_text(link)) + _QUIET.format(note))


def peer_card(row: PeerRow) -> str:
    """Show one member of the network."""
    facts = [
        ("state", words.state(row.state)),
        ("address", _CODE.format(words.visible(row.address)) if row.address else "none yet"),
        ("round trip", words.duration(row.rtt)),
        ("stores", f"{words.size(row.used_bytes)} of {words.size(row.capacity_bytes)}"),
        ("up for", words.duration(row.uptime)),
        ("is or comes back", words.share(row.p_return, 1.0)),
        ("id", _CODE.format(words.short_id(row.node_id))),
    ]
    return _card(f"Peer {_name(row.name)}", _pairs(facts))


def transfer_card(row: TransferRow) -> str:
    """Show one upload or download."""
    facts = [
        ("state", words.visible(row.state)),
        ("done", f"{words.size(row.bytes_done)} of {words.size(row.bytes_total)}"),
        ("rate", f"{words.size(int(row.rate))}/s"),
        ("to go", words.duration(row.eta)),
        ("peers", str(row.sources)),
    ]
    if row.error:
        facts.append(("error", words.masked(row.error)))
    return _card(f"{'Upload' if row.direction == 'put' else 'Download'} of {_name(row.file)}", _pairs(facts))


def swarm_card(snapshots: Sequence[NodeSnapshot]) -> str:
    """Show the nodes of a swarm, each with its own members and files counted."""
    rows = [
        (
            _name(each.name),
            _CODE.format(words.short_id(each.node_id)),
            words.visible(each.state),
            len(each.peers),
            len(each.files),
            words.size(each.used_bytes),
            words.visible(each.health),
        )
        for each in snapshots[:ROWS_SHOWN_MAX]
    ]
    table = _rows(("node", "id", "state", "members", "files", "stores", "health"), rows, len(snapshots))
    return _card(f"Swarm of {words.count(len(snapshots), 'node')}", table)


def facts_card(title: str, facts: Sequence[tuple[str, str]], note: str = "") -> str:
    """Show a title, what is known as pairs of a name and a value, and one sentence; links in any of them are masked."""
    pairs = _pairs((name, words.masked(value)) for name, value in facts)
    return _card(words.masked(title), pairs + (_QUIET.format(words.masked(note)) if note else Markup()))


def _network(snapshot: NodeSnapshot) -> Markup | str:
    if not snapshot.network:
        return "none yet"
    kind = "private" if snapshot.private else "open"
    return Markup("{} ({})").format(_CODE.format(words.visible(snapshot.network[:8])), kind)


def _peer_rows(rows: Sequence[PeerRow]) -> Markup:
    cells = [
        (
            _name(row.name),
            _CODE.format(words.short_id(row.node_id)),
            words.state(row.state),
            words.visible(row.address),
            words.duration(row.rtt),
            f"{words.size(row.used_bytes)} of {words.size(row.capacity_bytes)}",
        )
        for row in rows[:ROWS_SHOWN_MAX]
    ]
    return _rows(("member", "id", "state", "address", "round trip", "stores"), cells, len(rows))


def _file_rows(rows: Sequence[FileRow]) -> Markup:
    cells = [
        (
            _name(row.name),
            words.size(row.size),
            text.copies(row),
            words.visible(row.health),
            words.visible(row.origin),
        )
        for row in rows[:ROWS_SHOWN_MAX]
    ]
    return _rows(("file", "size", "copies", "health", "origin"), cells, len(rows))


def _message_rows(rows: Sequence[MessageRow]) -> Markup:
    newest = rows[-ROWS_SHOWN_MAX:]
    cells = [("you" if row.mine else _name(row.sender), words.masked(row.text)) for row in newest]
    return _rows(("who", "what"), cells, len(rows))


def _transfer_rows(rows: Sequence[TransferRow]) -> Markup:
    cells = [
        (
            "upload" if row.direction == "put" else "download",
            _name(row.file),
            words.visible(row.state),
            f"{words.size(row.bytes_done)} of {words.size(row.bytes_total)}",
            words.masked(row.error),
        )
        for row in rows[:ROWS_SHOWN_MAX]
    ]
    return _rows(("direction", "file", "state", "done", "error"), cells, len(rows))


def _news_rows(now_wall: float, rows: Sequence[EventRow]) -> Markup:
    cells = [(words.ago(row.at_wall, now_wall), words.masked(row.text)) for row in rows[-NEWS_SHOWN_MAX:][::-1]]
    return _rows(("when", "what"), cells, len(cells))


def _chunk_label(row: ChunkRow) -> str:
    return "manifest" if row.chunk < 0 else str(row.chunk)


def _name(name: str) -> str:
    return words.visible(name, length_max=text.NAME_LENGTH_MAX)


def _card(title: str, body: Markup) -> str:
    return str(_CARD.format(style=_STYLE, title=title, body=body))


def _pairs(facts: Iterable[tuple[str, str | Markup]]) -> Markup:
    return _PAIRS.format(Markup().join(_PAIR.format(name, value) for name, value in facts))


def _rows(heads: Iterable[str], rows: Sequence[Sequence[object]], total: int) -> Markup:
    lines = (_ROW.format(Markup().join(_CELL.format(cell) for cell in row)) for row in rows)
    table = _ROWS.format(Markup().join(_HEAD.format(head) for head in heads), Markup().join(lines))
    return table + (_QUIET.format(f"… and {total - len(rows):,} more") if total > len(rows) else Markup())


def _fold(summary: str, content: Markup, items: Sequence[object], *, unfolded: bool = False) -> Markup:
    if not items:
        return _QUIET.format(summary)
    return (_UNFOLDED if unfolded else _DETAILS).format(summary, content)
