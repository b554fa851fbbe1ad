"""
Who is at the other end of the kernel: a page with widgets, a terminal, or a program.
"""

from __future__ import annotations

import sys
from typing import Any


def has_widgets(shell: Any) -> bool:
    """True in a notebook's kernel, False in a terminal."""
    return getattr(shell, "kernel", None) is not None


def is_headless() -> bool:
    """True where cells are run by a program (nbclient, papermill): it takes no input."""
    if in_marimo():
        return False
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return not getattr(kernel, "_allow_stdin", False)


def in_marimo() -> bool:
    """True in a marimo notebook, opened in its editor or run as an app."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())
