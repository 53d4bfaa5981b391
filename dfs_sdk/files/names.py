"""File names of others made safe to save under: pure.

A name that came with a link is metadata; what it becomes on disk stays inside the download folder on every system, is
no device, no hidden file and no option of a shell command, and is at most 200 bytes long.

Source: OWASP "Unrestricted File Upload"; Microsoft, "Naming Files, Paths, and Namespaces"; CWE-22, CWE-427.
"""

from __future__ import annotations

import unicodedata

from dfs_sdk.wire.text import is_hidden, safe_text

NAME_BYTES_MAX = 200
SUFFIX_BYTES_MAX = 20
DISPLAY_LENGTH_MAX = 120
UNNAMED = "unnamed"

_FORBIDDEN = frozenset("<>:\"/\\|?*%$`!'")
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"]
)
# Names that do something by lying in the right folder: imported, loaded, run or opened as trusted.
_ACTIVE_SUFFIXES = (
    *(".py", ".pyw", ".pyc", ".pyd", ".pth", ".so", ".dll", ".dylib", ".ipynb", ".sh", ".bat", ".cmd", ".ps1"),
    *(".exe", ".com", ".scr", ".msi", ".js", ".vbs", ".jar", ".lnk", ".desktop", ".app", ".command", ".hta"),
    *(".svg", ".html", ".htm"),
)


def safe_file_name(name: str) -> str:
    """Turn any text into a name of one file in one folder.

    The last part of a path counts. Characters that some system gives a meaning become `_`; so do leading dots, dashes
    and tildes. Devices of Windows get a `_` in front; a name of nothing becomes `unnamed`.
    """
    # NFKC once, up front: it turns full-width slashes and dots into plain ones, so they are caught below.
    last = unicodedata.normalize("NFKC", name.encode("utf-8", "replace").decode()).replace("\\", "/").rstrip("/ .")
    last = last.rpartition("/")[2]
    cleaned = "".join("_" if character in _FORBIDDEN or is_hidden(character) else character for character in last)
    cleaned = " ".join(cleaned.split()).rstrip(". ")
    cleaned = _shortened(cleaned)
    if cleaned[:1] in (".", "-", "~"):
        cleaned = "_" + cleaned.lstrip(".-~")
    if not cleaned.strip("_. "):
        return UNNAMED
    if is_device(cleaned):
        cleaned = "_" + cleaned
    return cleaned


def is_device(name: str) -> bool:
    """Say whether Windows takes a name for a device, whatever suffix it has."""
    return name.partition(".")[0].rstrip(" ").upper() in _DEVICES


def display_name(name: str) -> str:
    """Make a file name of others safe to show: nothing hidden, at most 120 characters."""
    return safe_text(name, length_max=DISPLAY_LENGTH_MAX) or UNNAMED


def is_active(name: str) -> bool:
    """Say whether a file of this name can act by being imported, run or opened: worth a warning."""
    return name.lower().endswith(_ACTIVE_SUFFIXES)


def _shortened(name: str) -> str:
    # Two bytes are left for the underscores that may come in front.
    room = NAME_BYTES_MAX - 2
    if len(name.encode()) <= room:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem or len(suffix.encode()) >= SUFFIX_BYTES_MAX:
        stem, suffix = name, ""
    ending = f".{suffix}" if suffix else ""
    cut = stem.encode()[: room - len(ending.encode())].decode("utf-8", "ignore")
    return cut.rstrip(". ") + ending
