"""
The one place that knows all parts and puts them together. Heavy libraries (pandas, ipywidgets,
pydantic …) load at first use.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sys
from typing import Any

from nbagent.engine import ports
from nbagent.engine.thread.asked import watch_questions
from nbagent.errors import NbagentError, StoreError


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


def _choose_rows(store: Any, rows: Any, columns: Any, choice: Any) -> Any:
    from nbagent.stores.lookup.filter import filtered

    return filtered(store, rows, columns, **choice)


def _check_answer(schema: Any, answer: Any) -> Any:
    from nbagent.graph.schema.forms import check_answer

    return check_answer(schema, answer)


def _copy_table(table: Any) -> Any:
    """A DataFrame or Series for one reader: pandas copies what is written to, not what is read.

    Cells of dtype object may be lists, so they are copied; what kind they are is not guessed anew.
    """
    import pandas

    lazy = int(pandas.__version__.split(".")[0]) >= 3
    made = table.copy(deep=not lazy)
    if made.ndim == 1:
        if str(made.dtype) != "object":
            return made
        return _copy_cells(made).__finalize__(made)
    for place, dtype in enumerate(made.dtypes):
        if str(dtype) == "object":
            made.isetitem(place, _copy_cells(made.iloc[:, place]))
    return made


def _copy_cells(column: Any) -> Any:
    import numpy
    import pandas

    from nbagent.stores.codec.objects import copied

    cells = numpy.empty(len(column), dtype=object)
    for place, cell in enumerate(column.array):
        cells[place] = copied(cell)
    return pandas.Series(cells, index=column.index, name=column.name, dtype=object)


def _open_memory(url: str) -> Any:
    from nbagent.stores.memory import MemoryStore

    if "key_env" in url:
        raise StoreError(f"{url!r}: a store in memory has no key, for nothing of it is on a disk")
    return MemoryStore(url)


def _open_sqlite(url: str) -> Any:
    from nbagent.stores.sqlite import open_url

    return open_url(url)


def _open_postgres(url: str) -> Any:
    from nbagent.stores.postgres import open_url

    return open_url(url)


_SCHEMES = {"memory": _open_memory, "postgresql": _open_postgres, "sqlite": _open_sqlite}


def _open_url(url: str | os.PathLike[str]) -> Any:
    if isinstance(url, os.PathLike):
        from nbagent.stores.sqlite import SqliteStore

        return SqliteStore(url)
    scheme, colon, _ = url.partition(":")
    if scheme not in _SCHEMES or not colon:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise StoreError(f"no store for {url!r}: a store's URL starts with one of {known}")
    return _SCHEMES[scheme](url)


def _open_file(path: Any, store: Any, to_read: bool) -> Any:
    from nbagent.stores.sqlite import SqliteStore

    key = store if isinstance(store, str) else getattr(store, "key", None)
    return SqliteStore(path, key=key, read_only=to_read)


def _locate(url: str | os.PathLike[str], folder: str) -> str | os.PathLike[str]:
    from nbagent.stores.urls import located

    return located(url, folder)


def _identify(url: str | os.PathLike[str]) -> str:
    from nbagent.stores.urls import identity

    return identity(url)


def _find_copier(kind: type) -> Any:
    """pandas' tables are copied lazily; the types are named, so that pandas need not be there.
    Objects are copied with all that they hold."""
    if kind.__name__ in ("DataFrame", "Series") and kind.__module__ in _PANDAS:
        return _copy_table
    from nbagent.stores.codec.objects import copied, shape_of

    return copied if shape_of(kind) is not None else None


_PANDAS = ("pandas", "pandas.core.frame", "pandas.core.series")


def _find_parts(kind: type) -> Any:
    """Equal tables hold equal parts, however pandas has laid them out; likewise arrays."""
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return _array_parts
    is_table = kind.__name__ in ("DataFrame", "Series") and kind.__module__ in _PANDAS
    return _table_parts if is_table else None


def _array_parts(array: Any) -> Any:
    held = array.tolist() if array.dtype.hasobject else array.tobytes()
    return repr(array.dtype), array.shape, held


def _table_parts(table: Any) -> Any:
    columns = [table] if table.ndim == 1 else [table.iloc[:, at] for at in range(table.shape[1])]
    axes = [(list(axis.names), list(axis)) for axis in table.axes[1:]]
    parts = [_column_parts(column) for column in columns]
    index = (list(table.index.names), _column_parts(table.index))
    return getattr(table, "name", None), axes, index, parts, table.attrs


def _column_parts(column: Any) -> Any:
    import numpy

    array = column.to_numpy()
    if isinstance(column.dtype, numpy.dtype) and not array.dtype.hasobject:
        return _array_parts(array)
    return repr(column.dtype), column.astype(object).tolist()


def _register_types(annotation: Any) -> None:
    from nbagent.stores.codec.values import register_types_in

    register_types_in(annotation)


def _digest(value: Any) -> str:
    """Of the value as it is stored; `CodecError` for one that cannot be."""
    from nbagent.stores.codec.values import encode

    return hashlib.blake2b(encode(value), digest_size=8).hexdigest()


def _nest(loop: Any) -> None:
    """Let the kernel's loop be waited for from inside; only where somebody asks for that."""
    try:
        import nest_asyncio2
    except ImportError:
        raise NbagentError(
            'Graph(loop="kernel") can be waited for without `await` only with nest-asyncio2: '
            "`await run` (or `await graph.arun(…)`) instead, or pip install nest-asyncio2"
        ) from None
    if not hasattr(asyncio, "_nest_patched"):
        logging.getLogger("nbagent").warning(
            'a graph with loop="kernel" is waited for without `await`, so nest-asyncio2 has put '
            "slower tasks in the place of asyncio's own in this whole process; `await run` leaves "
            "them alone"
        )
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


def _find_cell() -> tuple[str, str] | None:
    """The cell that the notebook executes, by the id that its page gives it and what is in it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "get_parent"):
        return None
    parent = shell.get_parent()
    if not parent or parent.get("header", {}).get("msg_type") != "execute_request":
        return None
    cell = parent.get("metadata", {}).get("cellId")
    if not cell:
        return None
    text = f"{cell}\n{parent.get('content', {}).get('code', '')}"
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return digest, str(parent["header"].get("msg_id", ""))


def _cosines(one: bytes, others: Any) -> list[float]:
    import numpy

    if not others:
        return []
    mine = numpy.frombuffer(one, dtype=numpy.float32).astype(float)
    theirs = numpy.frombuffer(b"".join(others), dtype=numpy.float32).astype(float)
    theirs = theirs.reshape(len(others), -1)
    sizes = numpy.linalg.norm(theirs, axis=1) * numpy.linalg.norm(mine)
    found: list[float] = (theirs @ mine / numpy.where(sizes == 0, numpy.inf, sizes)).tolist()
    return found


def wire() -> None:
    """Fill the engine's ports."""
    ports.cosines.fill(_cosines)
    ports.make_table.fill(_pandas_table)
    ports.choose_rows.fill(_choose_rows)
    ports.check_answer.fill(_check_answer)
    ports.draw_trace.fill(_plot)
    ports.open_url.fill(_open_url)
    ports.open_file.fill(_open_file)
    ports.locate.fill(_locate)
    ports.identify.fill(_identify)
    ports.find_tracer.fill(_find_otel)
    ports.nest_loop.fill(_nest)
    ports.digest.fill(_digest)
    ports.declared.fill(_register_types)
    ports.find_copier.fill(_find_copier)
    ports.find_cell.fill(_find_cell)
    ports.find_parts.fill(_find_parts)
    ports.run_began.fill(_show_in_terminals)
    ports.run_began.also(watch_questions)
