"""
JupyterLab as a person uses it: a server, a page, and a notebook with cells to run.

Rule 1: nothing of the user's own is read or written; settings and runtime files are in the
        folder that the server was started in.
Rule 2: nothing waits for a fixed time; each wait is for something that the page shows.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import nbformat
import psutil
from playwright.sync_api import Locator, Page, expect

SECONDS_TO_START = 60

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

SETTINGS = {
    # Cells outside the view stay in the page, so that a test can look at any of them.
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}

READY = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  const context = panel?.sessionContext;
  if (!context || !panel.content?.model) return false;
  const kernel = context.session?.kernel;
  return context.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""

KERNEL_ID = "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.id"


class Lab:
    """A JupyterLab server on a free loopback port, with no token, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir()
        settings = folder / "settings"
        for name, text in SETTINGS.items():
            extension, _, plugin = name.partition("/")
            path = settings / "@jupyterlab" / extension / f"{plugin}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "jupyterlab.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                    "--expose-app-in-browser",
                    "--JupyterNotebookApp.expose_app_in_browser=True",
                    "--IdentityProvider.token=",
                    "--ServerApp.password=",
                    "--ServerApp.ip=127.0.0.1",
                    f"--ServerApp.port={port}",
                    "--ServerApp.port_retries=0",
                    f"--ServerApp.root_dir={self.notebooks}",
                ],
                cwd=self.notebooks,
                env={
                    **os.environ,
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                    "JUPYTER_CONFIG_DIR": str(folder / "config"),
                    "JUPYTER_DATA_DIR": str(folder / "data"),
                    "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
                    "JUPYTERLAB_SETTINGS_DIR": str(settings),
                    "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
                    "IPYTHONDIR": str(folder / "ipython"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        """End the server and every kernel that it started."""
        family = [self._process.pid]
        if self._process.poll() is None:
            family += [c.pid for c in psutil.Process(self._process.pid).children(recursive=True)]
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pid in family[1:]:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


class Notebook:
    """A notebook that is open in the page. Cells are counted from 0."""

    def __init__(self, lab: Lab, page: Page, path: Path, screenshots: Path) -> None:
        self.lab = lab
        self.page = page
        self.path = path
        self._screenshots = screenshots

    @classmethod
    def open(
        cls, lab: Lab, page: Page, cells: Sequence[str], *, name: str, screenshots: Path
    ) -> Self:
        """Write a notebook with these code cells and open it in a fresh workspace."""
        document = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
            },
        )
        path = lab.notebooks / f"{name}.ipynb"
        nbformat.write(document, path)
        notebook = cls(lab, page, path, screenshots)
        notebook.visit()
        return notebook

    def visit(self) -> None:
        """Load the page anew, with this notebook open, and wait for its kernel."""
        self.page.goto(f"{self.lab.url}/lab/tree/{self.path.name}?reset")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until a kernel is connected and idle. Waiting for less opens a kernel dialog."""
        self.page.wait_for_function(READY)
        self._wait_for_the_curtain()

    def run(self, index: int) -> None:
        """Run a cell and wait until the kernel has finished it."""
        self.select(index)
        self.page.evaluate("() => jupyterapp.commands.execute('notebook:run-cell')")

    def start(self, index: int) -> None:
        """Run a cell and do not wait for it."""
        self.select(index)
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell') }")

    def run_by_hand(self, index: int) -> None:
        """Click into a cell and press Shift+Enter, as a person does, and wait for the kernel."""
        before = self._execution_count(index)
        self.cell(index).locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(
            "([index, before]) => {"
            "  const model = jupyterapp.shell.currentWidget.content.widgets[index].model;"
            "  return model.executionCount !== null && model.executionCount !== before; }",
            arg=[index, before],
        )

    def select(self, index: int) -> None:
        """Make a cell the active one."""
        self.page.evaluate(
            "(index) => { const content = jupyterapp.shell.currentWidget.content;"
            " content.deselectAll(); content.activeCellIndex = index; }",
            index,
        )

    def rewrite(self, index: int, source: str) -> None:
        """Replace the source of a cell."""
        self.page.evaluate(
            "([index, source]) => jupyterapp.shell.currentWidget.content"
            ".widgets[index].model.sharedModel.setSource(source)",
            [index, source],
        )

    def cell(self, index: int) -> Locator:
        """A cell as the page shows it."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """A cell's output area as the page shows it, widgets included."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def outputs(self, index: int) -> str:
        """The text of a cell's outputs as the notebook holds it: prints, results, errors."""
        texts = []
        for output in self.raw_outputs(index):
            data = output.get("data", {})
            text = output.get("text") or data.get("text/plain") or output.get("traceback") or ""
            texts.append(text if isinstance(text, str) else "".join(text))
        return "".join(texts)

    def raw_outputs(self, index: int) -> list[dict[str, Any]]:
        """A cell's outputs in the notebook's own format."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "(index) => jupyterapp.shell.currentWidget.content.widgets[index].model"
            ".outputs.toJSON()",
            index,
        )
        return found

    def kernel_pid(self) -> int:
        """The process id of the kernel, found from outside: the kernel may be busy."""
        kernel = self.page.evaluate(KERNEL_ID)
        for process in psutil.Process(self.lab._process.pid).children(recursive=True):
            if any(f"kernel-{kernel}.json" in part for part in process.cmdline()):
                return process.pid
        raise LookupError(f"no process runs kernel {kernel}")

    def restart_kernel(self) -> None:
        """Kernel → Restart Kernel… → Restart, with the mouse."""
        before = self.kernel_pid()
        self.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        entries = self.page.locator(".lm-Menu-itemLabel")
        entries.get_by_text(re.compile(r"^Restart Kernel(…|\.\.\.)$")).click()
        dialog = self.page.get_by_role("dialog")
        dialog.locator("button.jp-mod-accept").click()
        expect(dialog).to_have_count(0)
        self._wait_for_another_kernel(before)

    def kill_kernel(self) -> None:
        """Kill the kernel with SIGKILL; the server starts another one, and says so."""
        before = self.kernel_pid()
        os.kill(before, signal.SIGKILL)
        dialog = self.page.get_by_role("dialog").filter(has_text="Kernel Restarting")
        dialog.get_by_role("button", name="Ok").click()
        self._wait_for_another_kernel(before)

    def _wait_for_another_kernel(self, before: int) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            try:
                if self.kernel_pid() != before:
                    return self.wait_until_ready()
            except (LookupError, psutil.Error):
                pass  # between two processes
            self.page.wait_for_timeout(50)
        raise TimeoutError("no new kernel was started")

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook and return what is in the file."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.path, as_version=4)

    def theme(self, name: str) -> None:
        """Switch to the "light" or the "dark" theme."""
        self.page.evaluate(
            "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })",
            {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[name],
        )
        light = "true" if name == "light" else "false"
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
        self._wait_for_the_curtain()

    def _wait_for_the_curtain(self) -> None:
        """Wait until the picture that JupyterLab shows while it loads is gone."""
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def screenshot(self, name: str) -> Path:
        """Take a picture of the whole window and return where it is."""
        path = self._screenshots / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def close(self) -> None:
        """Close the notebook without saving and shut its kernel down."""
        self.page.evaluate(
            "async () => { const panel = jupyterapp.shell.currentWidget;"
            " await panel.sessionContext.shutdown(); panel.dispose(); }"
        )

    def _execution_count(self, index: int) -> int | None:
        count: int | None = self.page.evaluate(
            "(index) => jupyterapp.shell.currentWidget.content.widgets[index].model.executionCount",
            index,
        )
        return count
