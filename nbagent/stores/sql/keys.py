"""
Which key a store was made with. (W5)
"""

from __future__ import annotations

from nbagent.errors import CorruptError, StoreError
from nbagent.stores.encryption import Plain
from nbagent.stores.sql.database import Connection, Database


def check_key(database: Database, cipher: Plain) -> None:
    """`StoreError` when the key is not the one that the store was made with.

    Who opens it first says whether it has one: others have it open as it was made.
    """
    with database.read() as db:
        found = _settings(db)
    if "key" not in found and ("plain" not in found or cipher.is_on):
        found = _put(database, cipher)
    if "key" not in found:
        return
    if not cipher.is_on:
        raise StoreError("the store is encrypted: open it with key=, or ?key_env=VARIABLE")
    try:
        cipher.unseal_text(found["key"], "key")
    except CorruptError:
        raise StoreError("the store is encrypted with another key") from None


def _settings(db: Connection) -> dict[str, str]:
    return dict(
        db.execute("SELECT name, value FROM settings WHERE name IN ('key', 'plain')").fetchall()
    )


def _put(database: Database, cipher: Plain) -> dict[str, str]:
    """Say in the store that it has a key, or none, where nobody has said so yet; what it says."""
    if database.is_read_only:
        return {}
    with database.write() as db:
        found = _settings(db)
        if "key" in found:
            return found  # another process was first: then it is to be checked
        if not cipher.is_on:
            if "plain" not in found:
                db.execute("INSERT INTO settings (name, value) VALUES ('plain', '')")
            return {}
        if db.execute("SELECT 1 FROM threads").fetchone() is not None:
            raise StoreError(
                "the store holds plain threads, and a key was given: copy them into a new "
                "store with that key (thread.copy)"
            )
        if "plain" in found:
            raise StoreError(
                "the store was made without a key, and others may have it open so: name a new "
                "one, or delete this one, which is empty"
            )
        sealed = cipher.seal_text("nbagent", "key")
        db.execute("INSERT INTO settings (name, value) VALUES ('key', ?)", (sealed,))
        return {"key": sealed}
