"""The commands of `dfs`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from rich.text import Text

from dfs_sdk._version import __version__
from dfs_sdk.cli import show
from dfs_sdk.cli.chat import converse
from dfs_sdk.cli.demo import demonstrate
from dfs_sdk.cli.desktop import open_window
from dfs_sdk.cli.doctor import examine
from dfs_sdk.cli.exits import Exit
from dfs_sdk.cli.lab import open_lab
from dfs_sdk.cli.progress import Progress
from dfs_sdk.cli.session import Options, open_node, run, run_plainly, with_options
from dfs_sdk.node.node import Node

STATUS_INTERVAL = 2.0
DOWNLOADS = Path("dfs_downloads")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dfs")
def main() -> None:
    """A decentralized file store: no server, no account, no daemon.

    Start a node with `dfs node`, then put and get files from any machine that joins it. `dfs demo` shows it all in
    one go on this machine.
    """
    show.accept_any_text()


@main.command()
@with_options
def node(options: Options) -> None:
    """Run a node until Ctrl-C: it keeps chunks for its network."""
    run(_node(options), on_terminate=Exit.OK)


async def _node(options: Options) -> None:
    async with open_node(options) as opened:
        if options.json:
            show.as_json({
                "name": opened.name, "node_id": str(opened.node_id), "address": str(opened.address),
                "invite": opened.invite(),
            })  # fmt: skip
        else:
            show.out.print(Text(f"{opened.name} ({opened.node_id.short}) listens on {opened.address}"), soft_wrap=True)
            show.out.print("others join with this invite (Ctrl-C ends):")
            show.out.print(Text(opened.invite()), soft_wrap=True)
        await _watch(opened, quiet=options.json)


async def _watch(opened: Node, *, quiet: bool) -> None:
    last = ""
    while True:
        health = opened.snapshot().health
        if health != last and not quiet:
            show.out.print(Text(health), soft_wrap=True)
            last = health
        await asyncio.sleep(STATUS_INTERVAL)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "as_name", help="Name to store it under.", metavar="NAME")
@click.option("--replicas", type=click.IntRange(1, 32), help="Copies of each chunk.", metavar="COUNT")
@click.option(
    "--quorum", type=click.IntRange(0, 32), help="Copies to wait for; 0 keeps it here for now.", metavar="COUNT"
)
@with_options
def put(options: Options, file: Path, as_name: str | None, replicas: int | None, quorum: int | None) -> None:
    """Store FILE on the network and print its link. Whoever has the link can read it."""
    run(_put(options, file, as_name, replicas, quorum))


async def _put(options: Options, file: Path, as_name: str | None, replicas: int | None, quorum: int | None) -> None:
    async with open_node(options) as opened:
        with Progress(f"put {file.name}", quiet=options.json) as progress:
            stored = await opened.put(file, name=as_name, replicas=replicas, quorum=quorum, progress=progress.update)
        if options.json:
            show.as_json({
                "name": stored.name, "file_id": stored.file_id, "size": stored.size, "link": str(stored.link),
            })  # fmt: skip
        else:
            show.out.print(Text(str(stored.link)), soft_wrap=True)


@main.command()
@click.argument("link")
@click.argument("destination", type=click.Path(path_type=Path), required=False)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@with_options
def get(options: Options, link: str, destination: Path | None, overwrite: bool) -> None:  # noqa: FBT001 - click's way
    """Fetch LINK (or a name from `dfs ls`) to DESTINATION, a file or folder; dfs_downloads/ by default."""
    if destination is None:
        DOWNLOADS.mkdir(exist_ok=True)
    run(_get(options, link, destination or DOWNLOADS, overwrite=overwrite))


async def _get(options: Options, link: str, destination: Path, *, overwrite: bool) -> None:
    async with open_node(options) as opened:
        with Progress("get", quiet=options.json) as progress:
            path = await opened.get(link, destination, overwrite=overwrite, progress=progress.update)
        if options.json:
            show.as_json({"path": str(path)})
        else:
            show.out.print(Text(str(path)), soft_wrap=True)


@main.command()
@click.argument("file")
@click.argument("peer")
@with_options
def share(options: Options, file: str, peer: str) -> None:
    """Give FILE (a name, id or link) to PEER (a name or id): it appears in that node's list of files."""
    run(_share(options, file, peer))


async def _share(options: Options, file: str, peer: str) -> None:
    async with open_node(options) as opened:
        await opened.share(file, peer)


@main.command()
@click.argument("file")
@with_options
def rm(options: Options, file: str) -> None:
    """Remove FILE (a name or id): its holders delete it if this node stored it, else only this node forgets it."""
    run(_rm(options, file))


async def _rm(options: Options, file: str) -> None:
    async with open_node(options) as opened:
        await opened.remove(file)


@main.command()
@with_options
def ls(options: Options) -> None:
    """List the files this node knows, and how well each is kept."""
    run(_ls(options))


async def _ls(options: Options) -> None:
    async with open_node(options) as opened:
        with show.waiting("asking the holders …", quiet=options.json):
            await opened.audit()
        rows = opened.snapshot().files
        show.as_json(rows) if options.json else show.files(rows)


@main.command()
@with_options
def peers(options: Options) -> None:
    """List the members of the network."""
    run(_peers(options))


async def _peers(options: Options) -> None:
    async with open_node(options) as opened:
        rows = opened.snapshot().peers
        show.as_json(rows) if options.json else show.peers(rows)


@main.command()
@click.argument("file", required=False)
@with_options
def chunks(options: Options, file: str | None) -> None:
    """Say where every chunk of FILE (or of all files) is, and why."""
    run(_chunks(options, file))


async def _chunks(options: Options, file: str | None) -> None:
    async with open_node(options) as opened:
        with show.waiting("asking the holders …", quiet=options.json):
            await opened.audit(file)
        name = (await opened.stat(file)).name if file else None
        rows = [row for row in opened.snapshot().chunks if name is None or row.file == name]
        show.as_json(rows) if options.json else show.chunks(rows)


@main.command()
@click.argument("text", required=False)
@click.option("--to", help="Name or id of one peer; everybody by default.", metavar="PEER")
@with_options
def chat(options: Options, text: str | None, to: str | None) -> None:
    """Talk to the network: TEXT is sent at once; without it, a conversation opens (Ctrl-D ends it)."""
    run(converse(options, text, to))


with_port = click.option(
    "--port", default=0, show_default="a free one", type=click.IntRange(0, 65535), help="Port on 127.0.0.1."
)
with_browser = click.option("--browser/--no-browser", default=True, help="Open it in the browser, or only say where.")


@main.command(name="app")
@with_port
@with_browser
@click.option(
    "--theme", default="light", show_default=True, type=click.Choice(["light", "dark"]), help="Look of the window."
)
@with_options
def window(options: Options, port: int, browser: bool, theme: str) -> None:  # noqa: FBT001 - click's way
    """Open the dashboard in a window of the browser, with a node of its own, until the window is closed."""
    run_plainly(lambda: open_window(options, port=port, theme=theme, browser=browser))


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@with_port
@with_browser
def lab(folder: Path | None, port: int, browser: bool) -> None:  # noqa: FBT001 - click's way
    """Start JupyterLab with the tutorial notebooks in FOLDER (dfs-lab in your documents), until Ctrl-C.

    Notebooks that are there already are yours and stay as they are.
    """
    run_plainly(lambda: open_lab(folder, port=port, browser=browser))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def doctor(as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Say what this machine offers a node: Python, loop, UDP, addresses, folder, packages. Send it with a report."""
    run(examine(as_json=as_json))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option(
    "--nodes", default=6, show_default=True, type=click.IntRange(5, 32), help="How many nodes.", metavar="COUNT"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a story.")
def demo(file: Path | None, nodes: int, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Show the whole story on this machine: nodes over loopback UDP, a file put, two holders killed, the file back."""
    run(demonstrate(file, nodes=nodes, as_json=as_json))


__all__ = ["Exit", "main"]
