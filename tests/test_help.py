"""What `help(nbagent)` and `dir(nbagent)` tell somebody who has just installed it."""

from __future__ import annotations

import pydoc
import re

import nbagent

FIRST = ("Graph", "node", "branch", "each", "START", "END")
SCREEN = 50  # lines


def test_help_fits_on_two_screens_and_begins_with_a_graph() -> None:
    """The names that a first graph needs come first, each in a line of its own."""
    lines = pydoc.render_doc(nbagent, renderer=pydoc.plaintext).splitlines()
    begun = {
        name: next(n for n, line in enumerate(lines) if re.match(rf"\s*{name}(\(| =)", line))
        for name in FIRST
    }

    assert len(lines) <= 2 * SCREEN
    assert max(map(len, lines)) <= 110
    assert sorted(begun.values()) == list(begun.values())
    assert SCREEN // 2 > max(begun.values())


def test_help_leaves_no_public_name_out() -> None:
    """A new name gets a word in the package's docstring."""
    told = set(re.findall(r"\w+", nbagent.__doc__ or ""))

    assert set() == set(nbagent.__all__) - told


def test_dir_has_the_public_names_and_nothing_else() -> None:
    """What completion offers: no module that happens to be imported."""
    found = {name for name in dir(nbagent) if not name.startswith("__")}

    assert set(nbagent.__all__) == found
    assert all(getattr(nbagent, name) is not None for name in found)
