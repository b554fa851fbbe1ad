"""JupyterLab and Chromium for the tests in this folder; each module has a page of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.lab import CHROMIUM_ARGUMENTS, Lab, Notebook
from tests.conftest import require

SECONDS_PER_WAIT = 30

OpenNotebook = Callable[[Sequence[str]], Notebook]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as one that drives the browser."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser."""
    usual = "/usr/bin/chromium"
    found = usual if os.access(usual, os.X_OK) else None
    return require("chromium", "Chromium (on Debian: apt-get install chromium)", found=found)


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: the folder in $NBAGENT_SCREENSHOTS, or a temporary one."""
    chosen = os.environ.get("NBAGENT_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The JupyterLab server that all tests of the session share."""
    require("jupyterlab", 'JupyterLab (pip install "nbagent-jupyter[notebook]")')
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Page]:
    """A page in a fresh browser.

    It lives no longer than a module, because Playwright keeps an event loop running in this
    thread, under which no coroutine test can run.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS), timeout=60_000
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(SECONDS_PER_WAIT * 1000)
        yield page
        browser.close()


@pytest.fixture
def open_notebook(
    lab: Lab, page: Page, screenshots: Path, request: pytest.FixtureRequest
) -> Iterator[OpenNotebook]:
    """Open a notebook with the given code cells; it is closed, kernel and all, after the test."""
    opened: list[Notebook] = []
    numbers = itertools.count(1)

    def open_one(cells: Sequence[str]) -> Notebook:
        name = f"{request.node.name}-{next(numbers)}"
        notebook = Notebook.open(lab, page, cells, name=name, screenshots=screenshots)
        opened.append(notebook)
        return notebook

    yield open_one
    if opened:
        opened[-1].close()
