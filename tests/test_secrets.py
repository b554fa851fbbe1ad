"""
A planted secret and a planted pattern are in nothing that leaves the process, after an agent has
done with them all that agents do. (W5)

A new artefact is one line in `_AGENT`: `write(NAME, TEXT OR BYTES)`.
"""

import os
import subprocess
import sys
import textwrap

import pytest

SECRET, PATTERN = "sk-PLANTED0SECRET1VALUE2", "tok-PLANTED3PATTERN4"

_AGENT = """
    import dataclasses, json, logging, operator, sys, traceback
    from pathlib import Path
    from typing import Annotated, Any, TypedDict
    import nbformat
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    import nbagent
    from nbagent import *
    from nbagent.notebook.view.panel import Panel

    folder = Path(sys.argv[1])

    def write(name, what):
        data = what if isinstance(what, bytes) else str(what).encode()
        (folder / name).write_bytes(data)

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    logging.basicConfig(filename=folder / "log.txt", level=logging.DEBUG)
    redact(r"tok-[A-Z0-9]+")
    TOKEN = "tok-PLANTED3PATTERN4"

    class State(TypedDict, total=False):
        key: Any
        done: Annotated[list[str], operator.add]

    class Odd(Exception):
        def __init__(self, said):
            super().__init__("odd")
            self.said = said
        def __str__(self):
            return "odd: " + self.said

    def told(s):
        return f"{s['key'].reveal()} and {TOKEN}"

    events = []
    with Graph("inner", State) as inner:
        @node
        def below(s):
            print("below", told(s))
            emit({"below": told(s)})
            with span(f"below {told(s)}", header=told(s)):
                return {"done": ["below"]}
        START >> below >> END

    with Graph("agent", State, store=folder / "agent.db") as agent:
        @node
        def talk(s):
            print("out", told(s))
            print("err", told(s), file=sys.stderr)
            sys.stdout.write(s["key"].reveal()[:9]); sys.stdout.write(s["key"].reveal()[9:] + "\\n")
            logging.getLogger("mine").warning("log %s", told(s))
            try:
                raise Odd(told(s))
            except Odd:
                logging.getLogger("mine").exception("broken")
            emit(told(s)); emit({"deep": [told(s)]})
            with span(f"span {told(s)}", header=f"Bearer {told(s)}") as one:
                one.set(more={"auth": TOKEN})
            try:
                with span("failing"):
                    raise ValueError(told(s))
            except ValueError:
                pass
            effect(f"pay {told(s)}", lambda given: 1, told(s))
            cached(f"look {told(s)}", lambda given: 2, told(s))
            return {"done": ["talk"]}

        def instead(s):
            return {"done": ["instead"]}

        @node(retry=Retry(attempts=2, wait=0.001, on=(OSError,)), fallback=instead)
        def fails(s):
            raise OSError(5, told(s), told(s))

        @node
        def asks(s):
            interrupt({"text": f"Use {told(s)}?"}, schema={"enum": [True, TOKEN]}, key=told(s))
            return {"done": ["asked"]}

        @node
        def breaks(s):
            try:
                raise Odd(told(s))
            except Odd as odd:
                error = ValueError(f"bad {told(s)}")
                error.add_note(told(s))
                error.header = told(s)
                raise error from odd

        START >> talk >> fails >> inner >> asks >> breaks >> END

    run = agent.start({"key": Secret("PLANTED"), "done": []}, thread="t")
    run.watch(events.append)
    panel = Panel(agent.thread("t"), run)
    run.result()
    thread = agent.thread("t")
    write("questions.txt", thread.questions)
    known = thread.questions[0].id
    try:
        run = thread.resume(answers={known: True})
        run.watch(events.append)
        run.result()
    except NodeError as error:
        write("raised.txt", "".join(traceback.format_exception(error)))
        write("error.txt", [error, error.traceback, repr(error.__cause__), vars(error.__cause__)])
        traceback.print_exception(error)
        logging.getLogger("script").error("failed", exc_info=error)
    assert ["talk", "instead", "below", "asked"] == thread.state["done"], thread.state
    thread.annotate(f"note {told(thread.state)}")
    thread.rename(f"title {told(thread.state)}")
    thread.edit({"done": []}, note=f"edit {told(thread.state)}")
    thread.fork(id="f", note=f"fork {told(thread.state)}")
    agent.thread("f").finish(note=f"finish {told(thread.state)}")
    write("events.txt", list(map(repr, events)))
    write("history.txt", thread.history().to_csv() + thread.trace().to_csv())
    write("threads.txt", nbagent.threads(store=agent.store).to_csv())
    write("otlp.json", "\\n".join(one.to_json() for one in exporter.get_finished_spans()))
    thread.export(folder / "export.db")
    agent.run({"key": Secret("PLANTED"), "done": []}, thread="gone")
    agent.thread("gone").delete()
    page = Panel(agent.thread("t"))
    write("view.json", repr([one.get_state() for p in (panel, page) for one in (p.view, p.form)]))
    write("picture.html", json.dumps([panel.static(), page.static()]))
    write("graph.txt", agent.mermaid())
    agent.store.close()
"""


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory):
    """Name -> bytes of all that the agent has left, and of what a terminal has shown."""
    folder = tmp_path_factory.mktemp("secrets")
    code = textwrap.dedent(_AGENT).replace("{SECRET}", SECRET)
    more = {"PLANTED": SECRET, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    script = folder.parent / "agent.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        env={**os.environ, **more}, capture_output=True, timeout=120,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr.decode()
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**found, "stdout": done.stdout, "stderr": done.stderr}


def test_no_artefact_tells_a_secret(artefacts):
    """Neither its value, nor what matches a pattern, in whatever part of it."""
    leaks = [
        (name, planted)
        for name, data in artefacts.items()
        for planted in (SECRET, PATTERN, SECRET[3:], PATTERN[4:])
        if planted.encode() in data
    ]
    assert [] == leaks
    assert {"agent.db", "export.db", "log.txt", "stdout", "stderr"} <= set(artefacts)


@pytest.mark.parametrize(
    "name, words",
    [
        ("stdout", "out"),
        ("stderr", "odd: "),
        ("log.txt", "log "),
        ("raised.txt", "bad "),
        ("events.txt", "NodeEmitted"),
        ("history.txt", "edit "),
        ("questions.txt", "Use "),
        ("otlp.json", "span "),
        ("agent.db", "pay "),
        ("export.db", "pay "),
        ("view.json", "Use "),
        ("picture.html", "fails"),
        ("threads.txt", "agent"),
        ("graph.txt", "talk"),
    ],
)
def test_the_artefacts_are_of_what_was_done(artefacts, name, words):
    """A test that looks at nothing finds nothing."""
    assert words.encode() in artefacts[name]
    struck = "•••".encode()
    assert name in ("threads.txt", "graph.txt", "picture.html") or (
        struck in artefacts[name] or b"\\u2022" in artefacts[name]
    )
