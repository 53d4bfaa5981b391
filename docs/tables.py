"""Write the tables of the reference from the code: `python docs/tables.py`, or `--check` to compare only.

A page holds `<!-- table: NAME ARGUMENT -->` and `<!-- end -->`; what stands between them is made here, from the same
docstrings and constants that the code goes by. `tests/unit/docs` checks that it is in step.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dfs_sdk import errors, events
from dfs_sdk.node import snapshot, tracing
from dfs_sdk.transport.trace import TraceSample

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "dfs_sdk"
NEWS_MODULES = ("events.py", "news.py")
ROW_OF_TABLE = {
    "chunks": snapshot.ChunkRow,
    "peers": snapshot.PeerRow,
    "files": snapshot.FileRow,
    "transfers": snapshot.TransferRow,
    "events": snapshot.EventRow,
    "messages": snapshot.MessageRow,
    "trace": tracing.TracedConnection,
}

_BLOCK = re.compile(r"(<!-- table: ([^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_IN_SECONDS = ", in seconds since the epoch"
_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def sentences(thing: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def attributes(kind: type[Any]) -> dict[str, str]:
    """What a class says about its fields under `Attributes:`."""
    _, _, rest = (kind.__doc__ or "").partition("Attributes:\n")
    section = inspect.cleandoc("\n" + rest.split("\n\n")[0]) if rest else ""
    indented = "\n".join(f"    {line}" for line in section.splitlines())
    return {match[1]: " ".join(match[2].split()) for match in _ATTRIBUTE.finditer(indented)}


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def columns_of(name: str) -> str:
    """The columns of a DataFrame."""
    views = {each: importlib.import_module(f"dfs_sdk.views.{each}") for each in ("frames", "traces")}
    columns = {**views["frames"].COLUMNS, "trace": views["traces"].TRACE_COLUMNS}
    words = attributes(ROW_OF_TABLE[name])
    if name == "trace":  # it is made of columns, and those of samples are among them
        words |= attributes(tracing.Traced)
        words |= {field: word for field, word in attributes(TraceSample).items() if field != "at"}

    def rows() -> Iterator[tuple[str, ...]]:
        for column, dtype in columns[name].items():
            shown = f"`{dtype}`" if isinstance(dtype, str) else "category: " + ", ".join(f"`{each}`" for each in dtype)
            # What is seconds in a row is an instant in a frame.
            yield f"`{column}`", shown, words.get(column) or words[f"{column}_wall"].replace(_IN_SECONDS, "")

    return table(("column", "dtype", "meaning"), rows())


def settings_of(name: str) -> str:
    """The fields of a config class, named `module:Class`."""
    module, _, cls = name.partition(":")
    kind = getattr(importlib.import_module(f"dfs_sdk.{module}"), cls)
    words = attributes(kind)
    rows = [
        (f"`{field.name}`", default_of(field), words[field.name]) for field in dataclasses.fields(kind) if field.init
    ]
    return table(("setting", "default", "meaning"), rows)


def default_of(field: dataclasses.Field[Any]) -> str:
    """A field's default as a person writes it."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{getattr(field.default_factory, '__name__', field.default_factory)}()`"
    value = field.default
    if value is dataclasses.MISSING:
        return "required"
    if isinstance(value, Path):
        return f"`{value}`"
    if "bytes" in field.name and isinstance(value, int | float) and not isinstance(value, bool):
        for unit, size in _UNITS:
            if value and value % size == 0:
                return f"{value / size:g} {unit}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}" if isinstance(value, int) else f"{value:,g}"
    return f"`{value!r}`"


def all_errors() -> list[type[Exception]]:
    """Every error class a user can meet, in the order of the source."""
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.DfsError)]


def builtins_of(kind: type[Exception]) -> list[type]:
    """The builtin errors that a class is, the most telling ones only."""
    bases = [base for base in kind.__mro__ if base.__module__ == "builtins" and base not in Exception.__mro__]
    return [base for base in bases if not any(other is not base and issubclass(other, base) for other in bases)]


def errors_of(_: str) -> str:
    """Errors with their builtin base, exit code and sentence."""
    exits = importlib.import_module("dfs_sdk.cli.exits")

    def rows() -> Iterator[tuple[str, ...]]:
        for kind in all_errors():
            bases = ", ".join(f"`{base.__name__}`" for base in builtins_of(kind))
            yield f"`{kind.__name__}`", bases, str(int(exits.exit_for(kind("")))), sentences(kind)

    return table(("error", "is also a", "exit code", "what happened, what to do"), rows())


def exits_of(_: str) -> str:
    """Exit codes of the command line."""
    exits = importlib.import_module("dfs_sdk.cli.exits")
    return table(("code", "name", "meaning"), [(str(int(each)), f"`{each.name}`", each.meaning) for each in exits.Exit])


def event_classes() -> list[type[events.Event]]:
    """Every event class, by module and name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in NEWS_MODULES:
            importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))

    def below(kind: type[events.Event]) -> Iterator[type[events.Event]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    # A dataclass with slots is a second class beside the one that was written: only that in the module counts.
    ours = {kind for kind in below(events.Event) if vars(sys.modules[kind.__module__]).get(kind.__name__) is kind}
    return sorted(ours, key=lambda kind: (kind.topic, kind.__module__, kind.__name__))


def events_of(_: str) -> str:
    """Event classes with their topic and fields."""
    rows = [
        (
            f"`{kind.__name__}`",
            f"`{kind.topic}`",
            f"`{kind.__module__}`",
            ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind) if field.name != "at_wall"),
            sentences(kind),
        )
        for kind in event_classes()
    ]
    return table(("event", "topic", "module", "fields", "when"), rows)


def commands_of(_: str) -> str:
    """The commands of `dfs`."""
    main = importlib.import_module("dfs_sdk.cli").main

    def rows() -> Iterator[tuple[str, ...]]:
        for name, command in main.commands.items():
            usage = " ".join(part.make_metavar(click.Context(command)) for part in command.params if is_argument(part))
            yield f"`dfs {name} {usage}`".replace(" `", "`"), sentences(command.callback)

    return table(("command", "what it does"), rows())


def options_of(name: str) -> str:
    """The options of one command, or with `common` those that all commands that open a node share."""
    main = importlib.import_module("dfs_sdk.cli").main
    common = [option.name for option in main.commands["node"].params]
    command = main.commands["node" if name == "common" else name]

    def rows() -> Iterator[tuple[str, ...]]:
        for option in command.params:
            if is_argument(option) or (name != "common" and option.name in common):
                continue
            metavar = "" if option.is_flag else " " + option.make_metavar(click.Context(command))
            default = (
                "" if option.default in (None, False) or "UNSET" in repr(option.default) else f"`{option.default}`"
            )
            yield f"`{', '.join([*option.opts, *option.secondary_opts])}{metavar}`", default, option.help or ""

    return table(("option", "default", "meaning"), rows())


def is_argument(parameter: click.Parameter) -> bool:
    """Whether a parameter is an argument, not an option."""
    return isinstance(parameter, click.Argument)


MAKERS: dict[str, Callable[[str], str]] = {
    "columns": columns_of,
    "commands": commands_of,
    "errors": errors_of,
    "events": events_of,
    "exits": exits_of,
    "options": options_of,
    "settings": settings_of,
}


def rendered(text: str) -> str:
    """A page with all its tables made anew."""

    def fill(match: re.Match[str]) -> str:
        name, _, argument = match[2].partition(" ")
        return f"{match[1]}\n{MAKERS[name](argument)}\n{match[3]}"

    return _BLOCK.sub(fill, text)


def main(arguments: list[str]) -> int:
    """Write the tables, or say which pages are out of step."""
    stale = []
    for page in sorted((DOCS / "reference").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (made := rendered(text)) != text:
            stale.append(page.name)
            if "--check" not in arguments:
                page.write_text(made, encoding="utf-8", newline="\n")
    if stale:
        print(("out of step: " if "--check" in arguments else "wrote ") + ", ".join(stale))  # noqa: T201 - a script
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
