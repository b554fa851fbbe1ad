"""
Durable agents in a notebook: a graph that runs in super-steps, watched live, kept in SQLite.

This module is where the parts are put together; it is the only one that knows them all. Heavy
libraries (pandas, ipywidgets, pydantic …) load at first use.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from nbagent import errors
from nbagent.engine import checkpoint as _checkpoint
from nbagent.engine.channels import Ephemeral, Topic
from nbagent.engine.checkpoint import open_store, use_store
from nbagent.engine.context import emit, span
from nbagent.engine.effects import acached, aeffect, cached, effect, idempotency_key
from nbagent.engine.interrupts import interrupt
from nbagent.engine.keeping import import_threads, prune, sizes, vacuum
from nbagent.engine.limits import Breaker, RateLimit
from nbagent.engine.listing import threads
from nbagent.engine.loop import register_nester as _register_nester
from nbagent.engine.policies import PERSON, Retry
from nbagent.engine.program import Cache, Command, Send
from nbagent.engine.run import on_launch as _on_launch
from nbagent.engine.secrets import Secret, redact
from nbagent.engine.snapshot import register_copier as _register_copier
from nbagent.engine.snapshot import thaw
from nbagent.engine.spans import register_bridge as _register_bridge
from nbagent.engine.tables import register_plotter as _register_plotter
from nbagent.engine.tables import register_table as _register_table
from nbagent.errors import (
    CircuitOpen,
    CodecError,
    ConflictError,
    GraphError,
    NbagentError,
    NodeError,
    StaleEdit,
    StateError,
    StepLimit,
    StoreError,
    ThreadBusy,
)

if TYPE_CHECKING:
    from nbagent.graph.builder import END, START, Graph, branch, each, node
    from nbagent.graph.due import resume_due
    from nbagent.stores.codec import register_type

__version__ = "0.1.0"
__all__ = [
    "END",
    "PERSON",
    "START",
    "Breaker",
    "Cache",
    "CircuitOpen",
    "CodecError",
    "Command",
    "ConflictError",
    "Ephemeral",
    "Graph",
    "GraphError",
    "NbagentError",
    "NodeError",
    "RateLimit",
    "Retry",
    "Secret",
    "Send",
    "StaleEdit",
    "StateError",
    "StepLimit",
    "StoreError",
    "ThreadBusy",
    "Topic",
    "acached",
    "aeffect",
    "branch",
    "cached",
    "each",
    "effect",
    "emit",
    "errors",
    "idempotency_key",
    "import_threads",
    "interrupt",
    "node",
    "open_store",
    "prune",
    "redact",
    "register_type",
    "resume_due",
    "sizes",
    "span",
    "thaw",
    "threads",
    "use_store",
    "vacuum",
    "view",
]

_BUILDER = frozenset(("END", "START", "Graph", "branch", "each", "node"))


def __getattr__(name: str) -> Any:
    # The construction API needs pydantic, which takes longer to import than all the rest.
    if name in _BUILDER:
        from nbagent.graph import builder

        for each_name in _BUILDER:
            globals()[each_name] = getattr(builder, each_name)
        _show_in_notebooks()
        return globals()[name]
    if name == "resume_due":
        from nbagent.graph.due import resume_due

        return resume_due
    if name == "register_type":
        from nbagent.stores.codec import register_type

        return register_type
    raise AttributeError(f"module 'nbagent' has no attribute {name!r}")


def view(shown: Any) -> Any:
    """The live view of a thread or a run, displayed below the cell that runs.

    What it returns has `code`, a line of Python for each thing done in it by mouse, and `widget()`,
    to put the view where one likes.
    """
    from nbagent.notebook.panel import view as show

    return show(shown)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nbagent`: the magics %%graph and %agent, and live views of runs."""
    from nbagent.notebook.session import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nbagent`: the magics go; what runs goes on."""
    from nbagent.notebook.session import unload

    unload(shell)


def _show_in_notebooks() -> None:
    """Runs, graphs and threads show themselves in a notebook, also without `%load_ext`."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "display_formatter", None) is not None:
        from nbagent.notebook.display import register_formatters

        register_formatters(shell)


def _show_in_terminals(run: Any) -> None:
    """A run writes its progress where a person sees a terminal. NBAGENT_PROGRESS=0 turns it off,
    1 on."""
    chosen = os.environ.get("NBAGENT_PROGRESS", "")
    on = chosen not in ("0", "no", "off") if chosen else sys.stderr and sys.stderr.isatty()
    if on:
        from nbagent.tracing.progress import Progress

        run.watch(Progress())


def _pandas_table(rows: Any, columns: Any) -> Any:
    import pandas

    made = pandas.DataFrame(rows, columns=list(columns))
    for name in ("at", "updated", "start"):
        if name in columns and not made.empty and made[name].dtype == float:
            made[name] = pandas.to_datetime(made[name], unit="s").dt.round("ms")
    if "parent" in columns and "checkpoint" in columns:
        made["parent"] = made["parent"].astype("Int64")  # the first has none
    return made


def _copy_table(table: Any) -> Any:
    """A DataFrame or Series for one reader: pandas copies what is written to, not what is read."""
    import copy

    import pandas

    lazy = int(pandas.__version__.split(".")[0]) >= 3
    made = table.copy(deep=not lazy)
    if made.ndim == 1:
        return made.map(copy.deepcopy) if str(made.dtype) == "object" else made
    for place, dtype in enumerate(made.dtypes):
        if str(dtype) == "object":  # the cells may be lists
            made.isetitem(place, made.iloc[:, place].map(copy.deepcopy))
    return made


def _open_memory(url: str) -> Any:
    from nbagent.stores.memory import MemoryStore

    return MemoryStore(url)


def _open_sqlite(url: str) -> Any:
    from nbagent.stores.sqlite import open_url

    return open_url(url)


def _open_postgres(url: str) -> Any:
    from nbagent.stores.postgres import open_url

    return open_url(url)


def _register_types(annotation: Any) -> None:
    from nbagent.stores.codec import register_types_in

    register_types_in(annotation)


def _nest(loop: Any) -> None:
    """Let the kernel's loop be waited for from inside; only where somebody asks for that."""
    try:
        import nest_asyncio2
    except ImportError:
        raise errors.NbagentError(
            'Graph(loop="kernel") can be waited for without `await` only with nest-asyncio2: '
            "`await run` (or `await graph.arun(…)`) instead, or pip install nest-asyncio2"
        ) from None
    nest_asyncio2.apply(loop)


def _find_otel() -> Any:
    """OpenTelemetry's bridge; nothing is imported for it where nobody uses it."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from nbagent.tracing.otel import find

    return find()


def _plot(trace: Any, ax: Any) -> Any:
    from nbagent.tracing.waterfall import waterfall

    return waterfall(trace, ax)


_on_launch(_show_in_terminals)
_register_nester(_nest)
_register_table(_pandas_table)
_register_plotter(_plot)
_register_bridge(_find_otel)
for _module in ("pandas", "pandas.core.frame", "pandas.core.series"):
    for _name in ("DataFrame", "Series"):
        _register_copier(f"{_module}.{_name}", _copy_table)
_checkpoint.on_declared(_register_types)
_checkpoint.register_store("memory", _open_memory)
_checkpoint.register_store("sqlite", _open_sqlite)
_checkpoint.register_store("postgresql", _open_postgres)
