"""
Executes a notebook from top to bottom, without a browser, and keeps what it showed.

    python execute.py NOTEBOOK FOLDER

Leaves NAME.executed.ipynb in FOLDER and, if the notebook shows a picture of a graph, NAME.svg.
The notebook runs in FOLDER, which is emptied of what an earlier execution left.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

SECONDS_PER_CELL = 300


def execute(notebook: Path, folder: Path) -> NotebookNode:
    """Execute a copy of `notebook` in `folder` and write it there, also when a cell fails.

    `CellExecutionError` says which cell failed, and how.
    """
    document = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        document,
        timeout=SECONDS_PER_CELL,
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,  # it would load code from the web when the file is opened
    )
    try:
        client.execute()
    finally:
        nbformat.write(document, folder / f"{notebook.stem}.executed.ipynb")
    return document


def picture(document: NotebookNode) -> str | None:
    """The first SVG that an executed notebook shows, as text."""
    for cell in document.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/svg+xml" in data:
                return str(data["image/svg+xml"])
            found = re.search(r"<svg\b.*?</svg>", data.get("text/html", ""), re.DOTALL)
            if found:
                return found.group()
    return None


def main(notebook: Path, folder: Path) -> int:
    """Execute, say what was left where, and return the exit code."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    print(f"Executing {notebook.name} …", flush=True)
    try:
        document = execute(notebook, folder)
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        print(f"A cell failed. What ran is in {folder}.", file=sys.stderr)
        return 1
    svg = picture(document)
    if svg:
        (folder / f"{notebook.stem}.svg").write_text(svg, encoding="utf-8")
    for path in sorted(folder.iterdir()):
        print(f"  {path}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
