"""
Says how many branches of the engine and of the stores the tests took, and fails below 85 %.

    python -m coverage run -m pytest tests
    python tests/branches.py

Branches count alone, a room as a whole: lines that ran hide the way that was not taken. Files that
are not whole are listed with what they lack.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import coverage

ROOMS = ("nbagent/engine", "nbagent/stores")
LEAST = 85.0


def measured() -> dict[str, Any]:
    """What coverage.py says of each file, from the data that the last run left."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        data.json_report(outfile=str(path))
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["files"]
    return found


def main() -> int:
    """Print the report; 1 if a room has too few."""
    files = measured()
    enough = True
    for room in ROOMS:
        inside = {name: facts for name, facts in files.items() if name.startswith(room)}
        for name, facts in sorted(inside.items()):
            if lacks := [f"{a}→{b if b > 0 else 'end'}" for a, b in facts["missing_branches"]]:
                print(f"  {name}: {', '.join(lacks)}")
        of = {
            what: sum(facts["summary"][what] for facts in inside.values())
            for what in ("num_branches", "covered_branches", "num_statements", "covered_lines")
        }
        branches = 100 * of["covered_branches"] / of["num_branches"]
        lines = 100 * of["covered_lines"] / of["num_statements"]
        print(f"{room}: {branches:.1f} % of the branches, {lines:.1f} % of the lines")
        enough = enough and branches >= LEAST
    if not enough:
        print(f"Less than {LEAST:.0f} % of the branches: add tests for those above.")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
