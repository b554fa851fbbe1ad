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
from concurrent.futures import ThreadPoolExecutor, as_completed
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


def covered(python):
    """The tests, with the branches counted that they take. What runs in the browser runs in a
    kernel's process, and would only be slower."""
    return [python, "-m", "coverage", "run", "-m", "pytest", "-m", "not browser"]


def in_other_python(version, found, venv, for_pytest):
    """A check: what another Python says to these arguments of pytest. One that is not there is no
    failure."""

    def run():
        if found is None:
            return f"skipped, install Python {version} to run it", True
        folder = venv.with_name(f"{venv.name}-{version}")
        other = environment.prepare(folder, "test-engine", base=found)
        return kept([other, "-m", "pytest", *for_pytest], environment.activated(other))

    return f"pytest in Python {version}", run


def kept(command, variables):
    """What a command says, and whether it passed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=str(ROOT),
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    return done.stdout, done.returncode == 0


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
    elif not options.pythons:
        check("pytest, counting branches", *covered(python))
        check("branches of the engine and the stores", python, "tests/branches.py")
        check("pytest in the browser", python, "-m", "pytest", "-m", "browser")
    if options.pythons:
        # Two at a time, for each leaves a processor idle for much of its time; so what they say is
        # kept until they have ended, or lines of two runs would stand between each other.
        checks = []
        if not for_pytest:
            checks += [
                ("pytest, counting branches", lambda: kept(covered(python), variables)),
                (
                    "pytest in the browser",
                    lambda: kept([python, "-m", "pytest", "-m", "browser"], variables),
                ),
            ]
        checks += [
            in_other_python(version, found, options.venv, for_pytest or ROOMS)
            for version, found in other_pythons().items()
        ]
        with ThreadPoolExecutor(max_workers=2) as two:
            running = {two.submit(run): name for name, run in checks}
            for ended in as_completed(running):
                output, passed = ended.result()
                print(f"\n== {running[ended]}\n{output}", flush=True)
                if not passed:
                    failed.append(running[ended])
        if not for_pytest:
            check("branches of the engine and the stores", python, "tests/branches.py")
    if failed:
        print(f"\nFailed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
