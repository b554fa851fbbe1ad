"""The notebooks are the documentation: each is executed from top to bottom, as it is."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
QUICKSTART = NOTEBOOKS / "quickstart.ipynb"
PROFILERS = ("missing_values", "outliers", "data_types", "duplicates")


def execute(notebook: Path, folder: Path, after_run: Sequence[str] = ()) -> NotebookNode:
    """Execute a copy of `notebook` in `folder`; an exception in a cell is an exception here.

    after_run   cells to put behind the one whose id is "run"
    """
    copy = Path(shutil.copy(notebook, folder))
    document = nbformat.read(copy, as_version=4)
    place = next((n for n, cell in enumerate(document.cells, 1) if cell.id == "run"), 0)
    document.cells[place:place] = [nbformat.v4.new_code_cell(code) for code in after_run]
    client = NotebookClient(
        document,
        timeout=120,
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
    )
    client.execute()
    return document


@dataclass(frozen=True)
class Executed:
    """A notebook after its execution and the folder that it ran in."""

    document: NotebookNode
    folder: Path


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Executed]:
    """Execute a notebook in an empty folder, each only once for all tests that look at it."""

    @cache
    def run(notebook: Path) -> Executed:
        folder = tmp_path_factory.mktemp(notebook.stem)
        return Executed(execute(notebook, folder), folder)

    return run


@pytest.fixture
def quickstart(run_once: Callable[[Path], Executed]) -> Executed:
    """The executed quickstart."""
    return run_once(QUICKSTART)


def shown(document: NotebookNode, cell_id: str) -> str:
    """All text that a cell shows: printed text and every text representation of its outputs."""
    (cell,) = [cell for cell in document.cells if cell.id == cell_id]
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        texts.extend(str(data) for data in output.get("data", {}).values())
    return "\n".join(texts)


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_kept_clean(notebook: Path) -> None:
    """A committed notebook is valid, has no outputs, and no metadata of widgets."""
    document = nbformat.read(notebook, as_version=4)

    nbformat.validate(document)
    assert "widgets" not in document.metadata
    for cell in document.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, run_once: Callable[[Path], Executed]) -> None:
    """No cell raises."""
    run_once(notebook)


def test_the_quickstart_cleans_the_table(quickstart: Executed) -> None:
    """Two rounds with a person's edit in the first end in a table that keeps every rule."""
    document = quickstart.document

    assert "date kept as text" in shown(document, "test")
    assert "<svg" in shown(document, "picture")
    assert "to_category" in shown(document, "plan")
    assert "waiting" in shown(document, "edit")
    assert "penguins-1" in shown(document, "threads")
    assert "an unusual value has a field note" in shown(document, "again")
    report = shown(document, "done")
    assert "342 penguins after round 2, reviewed by Ada" in report
    assert "Rules still broken: none" in report
    assert "The field notes are prose" in report
    assert "culmen_length_mm" in shown(document, "table")


ANSWERED = """
await run
t = clean.thread("penguins-1")
t.edit({"plan": [replace(f, enabled=f.column != "Comments") for f in t.state["plan"]]})
await t.resume("accept")
"""  # what the form's button does


def test_the_quickstart_can_be_answered_in_its_form_and_run_on_another_day(tmp_path: Path) -> None:
    """The cells that answer in code leave an answered question alone; a finished thread begins
    anew."""
    for answers in ([], [ANSWERED], [ANSWERED, 'await t.resume("accept")']):
        document = execute(QUICKSTART, tmp_path, answers)
        report = shown(document, "done")
        assert "342 penguins after round 2, reviewed by Ada" in report
        log = (tmp_path / "quickstart.log").read_text().splitlines()
        assert len(log) == len(set(log))


def test_a_picture_in_the_executed_quickstart_stays_as_its_run_ended(quickstart: Executed) -> None:
    """The first one with its question; none says that something runs."""
    pictures = {cell: shown(quickstart.document, cell) for cell in ("run", "resume", "finish")}

    assert ["waiting at super-step 4", "waiting at super-step 10", "done at super-step 14"] == [
        re.search(r"penguins-1: (\w+ at super-step \d+)", text)[1] for text in pictures.values()
    ]
    assert all("asks: Apply this plan?" in pictures[cell] for cell in ("run", "resume"))
    assert not any("running" in text for text in pictures.values())


def test_the_quickstart_runs_no_node_twice(quickstart: Executed) -> None:
    """The log, a real side effect, has one line a node and round; a question's answer adds one."""
    lines = (quickstart.folder / "quickstart.log").read_text().splitlines()
    ran = Counter(" ".join(line.split()[:3]) for line in lines)
    ran.pop("round 0 data_types")  # the test of a node, called by hand
    rounds = ["look", *PROFILERS, "propose", "review", "apply", "check"]
    expected = [f"round {number} {name}" for number in (1, 2) for name in rounds]
    assert Counter(["round 0 load", *expected, "round 2 write_report"]) == ran


def test_the_executed_quickstart_can_be_opened_anywhere(quickstart: Executed) -> None:
    """What is saved needs no kernel: no state of widgets, and a static picture of the run. (C3)"""
    document = quickstart.document

    assert "widgets" not in document.metadata
    assert "<svg" in shown(document, "run")


def test_the_executed_quickstart_has_only_pictures(quickstart: Executed) -> None:
    """Every live view gave way to its picture: nothing to load, nothing that says it is missing."""
    for cell_id in ("run", "resume", "finish"):
        text = shown(quickstart.document, cell_id)
        assert "<svg" in text
        assert "RunView" not in text
    outputs = [output for cell in quickstart.document.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" not in kinds


def test_the_executed_quickstart_becomes_a_web_page(quickstart: Executed) -> None:
    """`nbconvert --to html` shows the graph, the last state and what changed."""
    page, _ = HTMLExporter().from_notebook_node(quickstart.document)

    text = re.sub(r"<[^>]+>", " ", page)
    assert page.count("data-nbagent-static") >= 3
    assert "✓ review" in text or "✓ report" in text
    assert "Changed in super-step" in text
    assert "State" in text
