"""
Who is at the other end of the kernel: a page with widgets, a terminal, or a program.
"""

from __future__ import annotations

from typing import Any


def has_widgets(shell: Any) -> bool:
    """True in a notebook's kernel, False in a terminal."""
    return getattr(shell, "kernel", None) is not None


def is_headless() -> bool:
    """True where cells are run by a program (nbclient, papermill): it takes no input."""
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return not getattr(kernel, "_allow_stdin", False)
