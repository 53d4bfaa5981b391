"""Make the notebooks from their sources: `python notebooks/build.py`, or `--check` to compare only.

The sources are the `.py` files in percent format. The `.ipynb` files hold no outputs, and their cell ids are numbers,
so that building twice gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).resolve().parent
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def sources() -> list[Path]:
    """The notebooks' sources, in order."""
    return sorted(HERE.glob("[0-9]*.py"))


def build(source: Path) -> str:
    """The text of the `.ipynb` file that belongs to a source."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def main(arguments: list[str]) -> int:
    """Write the notebooks, or say which are out of step."""
    stale = []
    for source in sources():
        target, text = source.with_suffix(".ipynb"), build(source)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
            if "--check" not in arguments:
                target.write_text(text, encoding="utf-8", newline="\n")
    if stale:
        print(("out of step: " if "--check" in arguments else "wrote ") + ", ".join(stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
