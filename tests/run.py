"""
Runs every check of nbagent. Needs Python 3.11 or newer and nothing else.

    python3 tests/run.py                    all checks, in the virtual environment .venv
    python3 tests/run.py tests/engine -x    the same, with arguments for pytest; no branches counted
    python3 tests/run.py --pythons          also the engine, the graph and the stores in every other
                                            Python that pyproject.toml names and this machine has

A test whose part is absent (Chromium, say) is skipped and says what to install. With NBAGENT_CI=1
in the environment such a skip is a failure.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))

import environment  # noqa: E402  (it lies beside the quickstart, which shares it)

ROOMS = ("tests/engine", "tests/graph", "tests/stores")
"""What is run in every Python: all that does not depend on Jupyter."""


def other_pythons():
    """The other Pythons that nbagent says it supports: version -> path, or None where there is
    none on the PATH and none of pyenv's."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    own = "{}.{}".format(*sys.version_info)
    return {version: find_python(version) for version in versions if version != own}


def find_python(version):
    """The path of a Python of this version that starts, or None."""
    candidates = [shutil.which(f"python{version}")]
    pyenv = shutil.which("pyenv")
    if pyenv:  # its shims start only what somebody has chosen; it also has what nobody has
        prefix = said(pyenv, "prefix", version)
        candidates.append(prefix and str(Path(prefix) / "bin" / "python"))
    for candidate in filter(None, candidates):
        if said(candidate, "-c", "import sys; print('{}.{}'.format(*sys.version_info))") == version:
            return candidate
    return None


def said(*command):
    """What a command prints, or "" if it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def run_in_other_pythons(venv, for_pytest):
    """What each other Python says to these arguments of pytest, one Python after the other:
    [(name, output, whether it passed)]. One that is not there is no failure.

    This goes on beside the checks in the first Python, which leave a processor idle; so the
    output is kept, for lines of two runs would stand between each other.
    """
    results = []
    for version, found in other_pythons().items():
        name = f"pytest in Python {version}"
        if found is None:
            results.append((name, f"skipped, install Python {version} to run it", True))
            continue
        folder = venv.with_name(f"{venv.name}-{version}")
        other = environment.prepare(folder, "test-engine", base=found)
        done = subprocess.run(
            [str(other), "-m", "pytest", *for_pytest],
            cwd=str(ROOT),
            env=environment.activated(other),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        results.append((name, done.stdout, done.returncode == 0))
    return results


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
    parser.add_argument(
        "--pythons",
        action="store_true",
        help="also in every other Python that is supported and found, in DIR-3.12 and so on",
    )
    options, for_pytest = parser.parse_known_args()
    beside = ThreadPoolExecutor(max_workers=1)
    others = options.pythons and beside.submit(
        run_in_other_pythons, options.venv, for_pytest or ROOMS
    )
    python = environment.prepare(options.venv, "notebook,test")
    variables = environment.activated(python)

    failed = []

    def check(name, *command, folder=ROOT):
        print(f"\n== {name}", flush=True)
        command = [str(part) for part in command]
        if subprocess.run(command, cwd=str(folder), env=variables).returncode:
            failed.append(name)

    check("ruff", python, "-m", "ruff", "check", ".")
    check("ruff format", python, "-m", "ruff", "format", "--check", ".")
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
    if for_pytest:
        check("pytest", python, "-m", "pytest", *for_pytest)
    else:
        # What runs in the browser runs in a kernel's process, and would only be slower.
        covered = ("-m", "coverage", "run", "-m", "pytest", "-m", "not browser")
        check("pytest, counting branches", python, *covered)
        check("branches of the engine and the stores", python, "tests/branches.py")
        check("pytest in the browser", python, "-m", "pytest", "-m", "browser")
    for name, output, passed in others.result() if others else ():
        print(f"\n== {name}\n{output}", flush=True)
        if not passed:
            failed.append(name)
    if failed:
        print(f"\nFailed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
