"""Hooks of the documentation site: the notebooks lie beside `docs/`, not in it."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks to the site as `notebooks/…`."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        name, folder = f"notebooks/{path.name}", str(NOTEBOOKS.parent)
        files.append(File(name, src_dir=folder, dest_dir=config.site_dir, use_directory_urls=True))
    return files
