"""nbagent's own stores pass the suite that it ships. (R20 to R24, W1, W4, W15)"""

import pytest

from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from nbagent.testing.contract import StoreContract


class TestMemory(StoreContract):
    """In a dict."""

    is_durable = False

    def open(self, place, **options):
        return MemoryStore(**options)


class TestSqlite(StoreContract):
    """In a file."""

    def open(self, place, **options):
        return SqliteStore(place / "a.db", **options)


class TestEncrypted(StoreContract):
    """In a file that opens with a key only."""

    def open(self, place, **options):
        return SqliteStore(place / "a.db", key="42" * 32, **options)


@pytest.mark.postgres
class TestPostgres(StoreContract):
    """In a database, with a schema for each test."""

    @pytest.fixture(autouse=True)
    def server(self, postgres):
        self.postgres = postgres

    def open(self, place, **options):
        from nbagent.stores.postgres import PostgresStore

        return PostgresStore(self.postgres.url(place.name[-40:]), **options)
