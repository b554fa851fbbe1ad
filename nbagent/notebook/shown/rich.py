"""
What a value shows of itself in a notebook: as a picture, as a document, as a formula. (C3)

Rule 1: it is asked as IPython's `display_formatter` asks it: by a function registered for its
        type, its `_repr_…_` method, its `_repr_mimebundle_`. Nothing is displayed, and nothing is
        printed where it fails: it is then shown as its `repr`.
"""

from __future__ import annotations

import sys
from typing import Any

# The kinds that a view can show without running anything, the best first.
PICTURES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif")
KINDS = (*PICTURES, "text/html", "text/latex", "text/markdown")
_METHODS = {
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "image/svg+xml": "_repr_svg_",
    "text/html": "_repr_html_",
    "text/latex": "_repr_latex_",
    "text/markdown": "_repr_markdown_",
}


def shows_itself(value: Any) -> bool:
    """True for what has a look of its own beside its parts, as a dataclass may have."""
    methods = (*_METHODS.values(), "_repr_mimebundle_")
    return any(callable(getattr(type(value), name, None)) for name in methods)


def looks(value: Any) -> tuple[str, Any] | None:
    """The best look that a value has of itself, as a kind and its data; None where it has none."""
    formatters = _formatters()
    bundle = _asked(formatters.get("mimebundle"), "_repr_mimebundle_", value)
    found = bundle if isinstance(bundle, dict) else {}
    for kind in KINDS:
        data = found.get(kind) or _asked(formatters.get(kind), _METHODS.get(kind, ""), value)
        if data and isinstance(data, (str, bytes, bytearray)):
            return kind, data
    return None


def _formatters() -> dict[str, Any]:
    """IPython's formatters by kind; none where no shell is."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    found = getattr(shell, "display_formatter", None)
    if found is None:
        return {}
    return {**found.formatters, "mimebundle": found.mimebundle_formatter}


def _asked(formatter: Any, method: str, value: Any) -> Any:
    """What a registered function or the value's own method gives, without its metadata."""
    show = None
    if formatter is not None:
        try:
            show = formatter.lookup(value)
        except KeyError:
            show = None
    try:
        if show is not None:
            made = show(value)
        elif method and callable(getattr(type(value), method, None)):
            more = {"include": None, "exclude": None} if method == "_repr_mimebundle_" else {}
            made = getattr(value, method)(**more)
        else:
            return None
    except Exception:  # a user's object must not stop a view
        return None
    return made[0] if isinstance(made, tuple) and made else made


def formula(latex: str) -> bytes | None:
    """LaTeX as a PNG, by matplotlib's own mathematics; None where it is not there or cannot."""
    try:
        from IPython.lib.latextools import latex_to_png_mpl

        draw: Any = latex_to_png_mpl
        made = draw(latex.replace("\\displaystyle", "").strip(), False)
    except Exception:
        return None
    return made if isinstance(made, bytes) else None
