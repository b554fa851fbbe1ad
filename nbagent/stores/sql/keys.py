"""
Which key a store was made with. (W5)
"""

from __future__ import annotations

from nbagent.errors import CorruptError, StoreError
from nbagent.stores.encryption import Plain
from nbagent.stores.sql.database import Database


def check_key(database: Database, cipher: Plain) -> None:
    """`StoreError` when the key is not the one that the store was made with."""
    with database.read() as db:
        row = db.execute("SELECT value FROM settings WHERE name = 'key'").fetchone()
    if row is None:
        if cipher.is_on:
            _put_key(database, cipher)
        return
    if not cipher.is_on:
        raise StoreError("the store is encrypted: open it with key=, or ?key_env=VARIABLE")
    try:
        cipher.unseal_text(row[0], "key")
    except CorruptError:
        raise StoreError("the store is encrypted with another key") from None


def _put_key(database: Database, cipher: Plain) -> None:
    """Encrypt the store from now on, which nothing has been written to."""
    with database.write() as db:
        if db.execute("SELECT 1 FROM settings WHERE name = 'key'").fetchone() is not None:
            is_new = False  # another process was first: then it is to be checked
        elif db.execute("SELECT 1 FROM threads").fetchone() is not None:
            raise StoreError(
                "the store holds plain threads, and a key was given: copy them into a new "
                "store with that key (thread.copy)"
            )
        else:
            sealed = cipher.seal_text("nbagent", "key")
            db.execute("INSERT INTO settings (name, value) VALUES ('key', ?)", (sealed,))
            is_new = True
    if not is_new:
        check_key(database, cipher)
