"""
The virtual environment that the quickstart and the tests run in.

Standard library only, and no syntax newer than Python 3.8, so that an old Python gets the
sentence that says what to do instead of a syntax error.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def prepare(folder, extras, base=sys.executable):
    """Make the virtual environment `folder`, install nbagent there, return its Python's path.

    extras: the optional parts to install, as in "notebook,test". What is there already stays,
    and nothing is installed twice: a stamp in the folder says what was.
    base: the path of the Python that the environment is made of.
    Ends the program with a sentence when it cannot be done.
    """
    folder = Path(folder).resolve()
    python = python_of(folder)
    if not python.exists():
        _make(folder, base)
    elif _version(python) < OLDEST:
        sys.exit(f"{folder} holds a Python that is too old: delete the folder and try again.")
    stamp = folder / "nbagent-installed"
    wanted = _fingerprint(extras)
    if stamp.exists() and stamp.read_text() == wanted:
        print(f"nbagent[{extras}] is installed in {folder}", flush=True)
        return python
    print(f"Installing nbagent[{extras}] into {folder} (some minutes the first time) …", flush=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*install, "--editable", f"{ROOT}[{extras}]"], stdin=subprocess.DEVNULL)
    if result.returncode:
        sys.exit("The installation failed; the lines above say why.")
    stamp.write_text(wanted)
    return python


def python_of(folder):
    """The path of the Python in a virtual environment."""
    if os.name == "nt":
        return Path(folder) / "Scripts" / "python.exe"
    return Path(folder) / "bin" / "python"


def activated(python):
    """The environment variables under which programs of that virtual environment come first."""
    folder = Path(python).parent
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
        "VIRTUAL_ENV": str(folder.parent),
    }


def become(command, variables):
    """Let `command` take the place of this program, so that Ctrl-C and signals reach it alone."""
    if os.name == "posix":
        os.execve(command[0], command, variables)
    return subprocess.run(command, env=variables).returncode


def _make(folder, base):
    version = _version(base)
    if version < OLDEST:
        sys.exit(
            f"nbagent needs Python {OLDEST[0]}.{OLDEST[1]} or newer and this is "
            f"{version[0]}.{version[1]}: run the command with a newer one, "
            "as in `python3.12 …`."
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        sys.exit(
            "This Python cannot make virtual environments, its module venv or ensurepip is "
            "missing: install it (on Debian and Ubuntu the package python3-venv)."
        )
    print(f"Making a virtual environment in {folder} …", flush=True)
    if subprocess.run([str(base), "-m", "venv", str(folder)]).returncode:
        sys.exit(f"The virtual environment {folder} could not be made.")


def _version(python):
    code = "import sys; print(*sys.version_info[:2])"
    found = subprocess.run([str(python), "-c", code], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        sys.exit(f"{python} does not start: delete its environment and try again.")
    return tuple(int(part) for part in found.stdout.split())


def _fingerprint(extras):
    facts = f"{ROOT}\n{extras}\n{(ROOT / 'pyproject.toml').read_text()}"
    return hashlib.sha256(facts.encode()).hexdigest()
