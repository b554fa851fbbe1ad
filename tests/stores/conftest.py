"""The PostgreSQL server that all tests of the session share; started when the first asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import require
from tests.postgres import Server, find


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running server."""
    require("psycopg", 'psycopg (pip install "nbagent-jupyter[postgres]")')
    require("initdb", "PostgreSQL (on Debian: apt-get install postgresql)", found=find("initdb"))
    server = Server()
    yield server
    server.remove()
