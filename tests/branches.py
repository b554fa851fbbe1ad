"""
Says how much of the engine and of the stores the tests took, and fails where it is too little.

    python -m coverage run -m pytest tests
    python tests/branches.py

What has to be 95 % is what coverage.py counts with `--cov-branch`, lines and branches together, a
room as a whole. The branches alone are told, too, because lines that ran hide the way that was not
taken; they may not become fewer than they were. Files that are not whole are listed with the
branches that they lack.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import coverage

ROOMS = ("nbagent/engine", "nbagent/stores")
LEAST = 95.0
LEAST_BRANCHES = 92.0  # where they stood; raise it when more are taken


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
        both = 100 * (of["covered_branches"] + of["covered_lines"])
        both /= of["num_branches"] + of["num_statements"]
        print(
            f"{room}: {both:.1f} %, that is {branches:.1f} % of the branches and {lines:.1f} % of "
            "the lines"
        )
        enough = enough and both >= LEAST and branches >= LEAST_BRANCHES
    if not enough:
        print(
            f"Less than {LEAST:.0f} %, or than {LEAST_BRANCHES:.0f} % of the branches: add tests "
            "for those above."
        )
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
