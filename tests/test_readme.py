"""What README.md shows is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of README.md in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


async def test_every_python_block_runs(tmp_path: Path) -> None:
    """The blocks run one after another in a fresh kernel, each as a cell of its own."""
    cells = [nbformat.v4.new_code_cell(block) for block in blocks("python")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )

    await client.async_execute()

    _, graph, run, waited, resumed, done = cells
    assert {"text/html", "text/plain"} == kinds(graph)
    assert "<svg" in html(graph)
    for shown, status, text in [(run, "waiting", "Send it?"), (resumed, "done", "send")]:
        assert "<svg" in html(shown)
        assert status in html(shown)
        assert text in html(shown)
        assert "running" not in html(shown)
    assert "{'name': 'Ada', 'draft': 'Dear Ada" in str(waited.outputs)
    assert "'verdict': 'send'" in str(done.outputs)


def kinds(cell: NotebookNode) -> set[str]:
    """The kinds of what a cell shows."""
    return {kind for output in cell.outputs for kind in output.get("data", {})}


def html(cell: NotebookNode) -> str:
    """What a cell shows as HTML."""
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


def test_every_command_names_a_file_that_is_there() -> None:
    """The scripts in the shell blocks exist."""
    scripts = re.findall(r"^python3 (\S+\.py)", "".join(blocks("sh")), re.MULTILINE)

    assert {"notebooks/quickstart.py", "tests/run.py"} <= set(scripts)
    assert [] == [script for script in scripts if not (ROOT / script).is_file()]


def test_every_link_leads_to_a_file_that_is_there() -> None:
    """The relative links and pictures of the README exist."""
    targets = re.findall(r"\]\(([^)#:]+)\)", README)

    assert targets
    assert [] == [target for target in targets if not (ROOT / target).exists()]


def test_the_pictures_are_there_and_small() -> None:
    """One for each theme, of which a page takes the one that fits."""
    (block,) = re.findall(r"<picture>(.*?)</picture>", README, re.DOTALL)
    named = re.findall(r'(?:src|srcset)="([^"]+)"', block)

    assert ["notebooks/view-dark.png", "notebooks/view-light.png"] == named
    assert "prefers-color-scheme: dark" in block
    assert sum((ROOT / name).stat().st_size for name in named) < 1_000_000
