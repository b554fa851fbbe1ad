"""
Sets up nbagent and opens the quickstart notebook. Needs Python 3.11 or newer and nothing else.

    python3 notebooks/quickstart.py              in JupyterLab, in the browser
    python3 notebooks/quickstart.py --headless   executed from top to bottom, without a browser

The first run makes a virtual environment in `.venv` beside pyproject.toml; later runs use it.
"""

import argparse
import os
import sys
from pathlib import Path

import environment

HERE = Path(__file__).resolve().parent
NOTEBOOK = HERE / "quickstart.ipynb"


def main():
    """Do what the command line says; the exit code is that of JupyterLab or of the notebook."""
    parser = argparse.ArgumentParser(
        description="Set up nbagent and open the quickstart notebook.",
        epilog="Other options go to JupyterLab, for instance --no-browser or --port 9999.",
    )
    parser.add_argument(
        "--headless",
        action="store_true",
        help="execute the notebook without a browser and leave it in notebooks/out/",
    )
    parser.add_argument(
        "--venv",
        type=Path,
        default=environment.ROOT / ".venv",
        metavar="DIR",
        help="the virtual environment to make or use (default: .venv)",
    )
    options, for_jupyterlab = parser.parse_known_args()
    if options.headless and for_jupyterlab:
        parser.error(f"not known with --headless: {' '.join(for_jupyterlab)}")

    python = environment.prepare(options.venv, "notebook")
    if options.headless:
        command = [python, HERE / "execute.py", NOTEBOOK, HERE / "out"]
    else:
        command = [python, "-m", "jupyterlab", NOTEBOOK, *for_jupyterlab]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        print("Starting JupyterLab; Ctrl-C here ends it.", flush=True)
    return environment.become([str(part) for part in command], environment.activated(python))


if __name__ == "__main__":
    sys.exit(main())
