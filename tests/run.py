"""
Runs every check of nbagent. Needs Python 3.11 or newer and nothing else.

    python3 tests/run.py                    all checks, in the virtual environment .venv
    python3 tests/run.py tests/engine -x    the same, with arguments for pytest

A test whose part is absent (Chromium, say) is skipped and says what to install. With NBAGENT_CI=1
in the environment such a skip is a failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))

import environment  # noqa: E402  (it lies beside the quickstart, which shares it)


def main():
    """Run the checks one after another, all of them also when one fails; 1 if any did."""
    parser = argparse.ArgumentParser(
        description="Run every check of nbagent.", epilog="Other arguments go to pytest."
    )
    parser.add_argument(
        "--venv",
        type=Path,
        default=ROOT / ".venv",
        metavar="DIR",
        help="the virtual environment to make or use (default: .venv)",
    )
    options, for_pytest = parser.parse_known_args()
    python = environment.prepare(options.venv, "notebook,test")
    variables = environment.activated(python)

    failed = []

    def check(name, *command, folder=ROOT):
        print(f"\n== {name}", flush=True)
        command = [str(part) for part in command]
        if subprocess.run(command, cwd=str(folder), env=variables).returncode:
            failed.append(name)

    check("ruff", python, "-m", "ruff", "check", ".")
    check("mypy", python, "-m", "mypy")
    scripts = ROOT / "tests" / "js"
    if (scripts / "package.json").exists():
        npm = shutil.which("npm")
        if npm:
            check("npm ci", npm, "ci", "--no-audit", "--no-fund", folder=scripts)
            check("JavaScript tests", npm, "test", folder=scripts)
        elif os.environ.get("NBAGENT_CI") == "1":
            failed.append("JavaScript tests (npm is missing)")
        else:
            print("\n== JavaScript tests: skipped, install Node.js with npm to run them")
    check("pytest", python, "-m", "pytest", *for_pytest)
    if failed:
        print(f"\nFailed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
