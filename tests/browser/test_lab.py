"""The helper that drives JupyterLab does what it says, on plain Python."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook


def test_cells_run_and_show_their_outputs(open_notebook: OpenNotebook) -> None:
    """A cell's prints, result and error are read back in order."""
    notebook = open_notebook(["print('one')\n1 + 1", "1 / 0"])

    notebook.run(0)
    notebook.run_by_hand(1)

    assert "one\n2" == notebook.outputs(0)
    assert "ZeroDivisionError" in notebook.outputs(1)
    expect(notebook.output(0)).to_contain_text("one")


def test_a_cell_can_be_left_running(open_notebook: OpenNotebook) -> None:
    """`start` returns while the cell computes; what it prints appears in the page."""
    notebook = open_notebook(
        ["import time\nprint('begun', flush=True)\ntime.sleep(1)\nprint('over')"]
    )

    notebook.start(0)
    expect(notebook.output(0)).to_contain_text("begun")
    assert "over" not in notebook.outputs(0)
    expect(notebook.output(0)).to_contain_text("over")


def test_a_restart_empties_the_kernel(open_notebook: OpenNotebook) -> None:
    """After a restart through the menu the names are gone and the process is another."""
    notebook = open_notebook(["import os\nkept = 1\nos.getpid()", "kept"])
    notebook.run(0)
    pid = notebook.outputs(0)
    assert pid == str(notebook.kernel_pid())

    notebook.restart_kernel()
    notebook.run(1)

    assert "NameError" in notebook.outputs(1)
    assert pid != str(notebook.kernel_pid())


def test_a_killed_kernel_is_replaced(open_notebook: OpenNotebook) -> None:
    """A SIGKILL in the middle of a cell leaves a page in which a new kernel runs the next one."""
    notebook = open_notebook(["import time; time.sleep(60)", "print('alive')"])
    notebook.start(0)
    expect(notebook.cell(0)).to_contain_text("[*]")

    notebook.kill_kernel()
    notebook.run(1)

    assert "alive\n" == notebook.outputs(1)


def test_the_page_can_be_reloaded_saved_and_pictured(open_notebook: OpenNotebook) -> None:
    """A saved notebook shows its outputs after a reload; a picture is a file; themes switch."""
    notebook = open_notebook(["print('kept')"])
    notebook.run(0)

    saved = notebook.save()
    notebook.visit()
    notebook.theme("dark")
    picture = notebook.screenshot("dark")
    notebook.theme("light")

    assert "kept\n" == saved.cells[0].outputs[0].text
    assert "kept\n" == notebook.outputs(0)
    assert picture.stat().st_size > 1000
