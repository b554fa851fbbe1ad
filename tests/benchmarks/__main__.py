"""
The benchmarks, in an environment of their own: python -m tests.benchmarks

Each figure is of a fresh process; the processes of one row take turns, so that what else the
machine does meets all of them. The table has the median of each, how far the others are from it,
and how many times as much the others take. Rows that are lost are in it.

    --rounds N      processes a figure (5)
    --rows A,B      only these rows
    --env FOLDER    where the environment is, or is made (~/.cache/nbagent-benchmarks)
    --before PATH   another checkout of nbagent, as one more column
    --growth        how the cost grows, over three decades, with the exponent
    --plot FILE     draw the ratios as SVG
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.rows import GROWTH, ROWS, Row, Subject
from tests.benchmarks.table import as_markdown, as_svg, exponent

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def environment(folder: Path) -> Path:
    """The Python of the environment with the pinned peers; made where it is not there yet."""
    python = folder / "bin" / "python"
    wanted = (HERE / "peers.txt").read_text()
    made = folder / "peers.txt"
    if not made.exists() or made.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "peers.txt")]
        subprocess.run(pip, check=True)
        made.write_text(wanted)
    return python


def measured(python: Path, subject: Subject, checkout: Path) -> float | None:
    """A figure, by a fresh process; None where it could not be taken, which is said."""
    path = os.pathsep.join([str(checkout), str(ROOT)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        code = (
            "import importlib, json, sys; from pathlib import Path;"
            f"m = importlib.import_module('tests.benchmarks.subjects.{subject.module}');"
            f"print(json.dumps(m.{subject.function}(Path(sys.argv[1]), **json.loads(sys.argv[2]))))"
        )
        line = [str(python), "-c", code, folder, json.dumps(dict(subject.options))]
        try:
            done = subprocess.run(
                line,
                capture_output=True,
                text=True,
                timeout=900,
                cwd=folder,
                env=kept | {"PYTHONPATH": path},
            )
        except subprocess.TimeoutExpired:
            print(f"  {subject}: more than 900 seconds", file=sys.stderr)
            return None
    if done.returncode:
        print(f"  {subject}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def figures(
    python: Path, row: Row, rounds: int, checkouts: Mapping[str, Path]
) -> dict[str, list[float]]:
    """Column -> its figures, taken in turns."""
    subjects: list[tuple[str, Subject, Path]] = []
    for column, subject in row.subjects.items():
        ours = checkouts if column == "nbagent" else {column: ROOT}
        subjects += [(name, subject, path) for name, path in ours.items()]
    found: dict[str, list[float]] = {name: [] for name, _, _ in subjects}
    for _ in range(rounds):
        for name, subject, path in subjects:
            one = measured(python, subject, path)
            if one is not None:
                found[name].append(one)
    return {name: values for name, values in found.items() if values}


def growth(python: Path, rounds: int) -> None:
    """Print how each cost grows."""
    print(f"\n{'growth of the whole cost with':44}{'exponent':>9}   figures")
    for name, (subject, parameter, sizes, whole) in GROWTH.items():
        medians = []
        for size in sizes:
            sized = Subject(subject.module, subject.function, {**subject.options, parameter: size})
            found = [measured(python, sized, ROOT) for _ in range(rounds)]
            medians.append(statistics.median([one for one in found if one is not None]))
        totals = [m * size if whole else m for m, size in zip(medians, sizes, strict=True)]
        shown = ", ".join(f"{size}: {one:.3g}" for size, one in zip(sizes, totals, strict=True))
        print(f"{name:44}{exponent(sizes, totals):9.2f}   {shown}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="")
    parser.add_argument("--env", type=Path, default=Path.home() / ".cache/nbagent-benchmarks")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    python = environment(given.env)
    checkouts = {"before": given.before} if given.before else {}
    checkouts["nbagent"] = ROOT
    wanted = given.rows.split(",") if given.rows else list(ROWS)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    results = {}
    for name in wanted:
        results[name] = figures(python, ROWS[name], given.rounds, checkouts)
        shown = "   ".join(
            f"{column} {statistics.median(values):.4g}" for column, values in results[name].items()
        )
        print(f"{name:16} {ROWS[name].unit:10} {shown}", file=sys.stderr, flush=True)
    print(as_markdown(ROWS, results))
    if given.growth:
        growth(python, min(given.rounds, 3))
    if given.plot:
        given.plot.write_text(as_svg(ROWS, results))


if __name__ == "__main__":
    main()
