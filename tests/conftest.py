"""What all tests share: how a missing part is treated, and the settings of hypothesis."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import Server, find

IN_CI = os.environ.get("NBAGENT_CI") == "1"

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if IN_CI else "local")


def require(part: str, what_to_install: str, *, found: str | None = None) -> str:
    """The path of the program `part`, or the name of the module `part`, or whatever `found` is.

    When it is absent the test is skipped and says what to install. In CI (NBAGENT_CI=1), where
    every part must be there, it fails.
    """
    found = found or shutil.which(part)
    if found is None and part.isidentifier() and importlib.util.find_spec(part):
        found = part
    if found is not None:
        return found
    message = f"{part} is missing: install {what_to_install}"
    if IN_CI:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is quick first: the browser's tests come last."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server that the session shares; started when the first test asks for it."""
    require("psycopg", 'psycopg (pip install "nbagent-jupyter[postgres]")')
    require("initdb", "PostgreSQL (on Debian: apt-get install postgresql)", found=find("initdb"))
    server = Server()
    yield server
    server.remove()
