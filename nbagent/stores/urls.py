"""
Stores' URLs: what stands behind the scheme, and the options behind `?`.

Rule 1: what is not understood is refused, never passed over: an option that is lost, such as the
        key of an encrypted store, would open another store than the one that is meant.
Rule 2: in `sqlite:///` plus a path, `?`, `#` and `%` of the path are percent-encoded. A `#` alone
        can be nothing else, so it is taken as it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qsl, quote_from_bytes, unquote_to_bytes

from nbagent.errors import StoreError

_SQLITE = "sqlite://"


def options_of(url: str) -> dict[str, str]:
    """The options behind `?`, each once. `StoreError` where they cannot be read."""
    _, mark, query = url.partition("?")
    try:
        found = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if mark else []
    except ValueError:
        found = [("", "")]
    names = [name for name, _ in found]
    if (mark and not found) or len(set(names)) < len(names) or "" in names:
        raise StoreError(
            f"{url!r}: behind `?` stand options, as in ?durability=process, each once. A `?` that "
            "belongs to a path is written %3F, or give the path as a pathlib.Path"
        )
    return dict(found)


def sqlite_path(url: str) -> str:
    """The path that a `sqlite:///` URL names, relative or absolute."""
    path = url.removeprefix(_SQLITE).partition("?")[0]
    if not path.startswith("/") or len(path) < 2 or "%00" in path or "\0" in path:
        raise StoreError(f"{url!r} names no file: write sqlite:///agents.db")
    if "key_env=" in path:  # behind `#`, or an encoded `?`: nobody's file is called so
        raise StoreError(f"{url!r}: key_env= is lost in the path: options stand behind one `?`")
    return os.fsdecode(unquote_to_bytes(os.fsencode(path[1:])))


def sqlite_url(path: str | os.PathLike[str], options: str = "") -> str:
    """The URL that names a path; options as they stand behind `?`."""
    text = os.fspath(path)
    for sign in "%?#":
        text = text.replace(sign, f"%{ord(sign):02X}")
    # Half a character stands for a byte that is no text.
    parts = (c if c.isprintable() or c == "\n" else quote_from_bytes(os.fsencode(c)) for c in text)
    return f"{_SQLITE}/{''.join(parts)}" + (f"?{options}" if options else "")


def located(url: str | os.PathLike[str], folder: str) -> str | os.PathLike[str]:
    """The same store, wherever the process goes later: its path is relative to `folder` now."""
    if isinstance(url, os.PathLike):
        return Path(_within(folder, url))
    if not url.startswith(_SQLITE):
        return url
    path = _within(folder, sqlite_path(url))
    return sqlite_url(path, url.partition("?")[2])


def identity(url: str | os.PathLike[str]) -> str:
    """What all spellings of one store have in common: of a file that is there, the file itself."""
    if isinstance(url, str) and not url.startswith(_SQLITE):
        return url
    path = url if isinstance(url, os.PathLike) else sqlite_path(url)
    options = sorted(options_of(url).items()) if isinstance(url, str) else []
    try:
        found = os.stat(path)
        file = f"{found.st_dev} {found.st_ino}"
    except OSError:
        file = os.path.realpath(path)
    return f"sqlite {file} {options}"


def _within(folder: str, path: str | os.PathLike[str]) -> str:
    joined = os.path.join(folder, path)
    if not os.path.isabs(joined):
        raise StoreError(
            f"{os.fspath(path)!r} is relative, and the folder that this process was in has been "
            "removed: give an absolute path"
        )
    return joined
