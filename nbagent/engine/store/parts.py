"""
The hidden file that an export is written to before it is whole, and those that a kill has left.

Rule: one is thrown away when it is known that nobody writes to it any more: its process, of this
      very boot and namespace, is dead; or it has not changed for a day.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path

from nbagent.engine.store import machine

ENDS = ("", "-wal", "-shm", "-journal")
_OLD = 86_400.0  # seconds
_TAIL = re.compile(r"(?:([0-9a-f]{12})\.(\d+)-(\w*)\.)?[0-9a-f]{12}\.part(?:-wal|-shm|-journal)?")


def part_of(place: Path) -> Path:
    """A new name for it, beside the file that it is to be."""
    pid = os.getpid()
    owner = f"{_here()}.{pid}-{machine.started(pid)}"
    return place.with_name(f"{_head(place)}{owner}.{uuid.uuid4().hex[:12]}.part")


def remove(part: Path) -> None:
    """Throw it away, with what SQLite has written beside it."""
    for end in ENDS:
        with suppress(OSError):
            os.unlink(f"{part}{end}")


def sweep(place: Path) -> None:
    """Throw away what exports to this file have left that were killed."""
    head = _head(place)
    with suppress(OSError):
        for entry in list(os.scandir(place.parent)):
            if not entry.name.startswith(head):
                continue
            found = _TAIL.fullmatch(entry.name[len(head) :])
            if found is not None and _is_left(entry, *found.groups()):
                with suppress(OSError):
                    os.unlink(entry.path)


def _is_left(entry: os.DirEntry[str], where: str | None, pid: str | None, when: str | None) -> bool:
    if where == _here() and pid is not None:
        return not machine.lives(int(pid), when or "")
    with suppress(OSError):
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD
    return False


def _here() -> str:
    """This boot and this namespace, where process ids mean processes."""
    text = f"{machine.boot()} {machine.namespace()}"
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _head(place: Path) -> str:
    """What their names begin with: not longer than a name may be, in whatever letters."""
    return f".{os.fsdecode(os.fsencode(place.name)[:100])}."
