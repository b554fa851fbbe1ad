"""
The trace at a real OTLP receiver: two levels of graphs, the openai client and its instrumentation,
across a question and a new process. (R36)
"""

import json
import os
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from jupyter_client.manager import start_new_kernel
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from nbagent.stores.sqlite import SqliteStore

ANSWER = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "small",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "Bees fly."}}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
}  # fmt: skip


@pytest.fixture
def server():
    """Takes traces at /v1/traces and answers chats at /v1/chat/completions."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = b""
            if self.path == "/v1/traces":
                received.append(ExportTraceServiceRequest.FromString(body))
            else:
                answer = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    made.received = received
    yield made
    made.shutdown()
    made.server_close()


_AGENT = """
    import sys
    from typing import TypedDict
    from openai import AsyncOpenAI
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from nbagent import END, START, Graph, Retry, interrupt, node, span
    from nbagent.stores.sqlite import SqliteStore

    url, path, work = sys.argv[1:]
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url + "/v1/traces")))
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()
    client = AsyncOpenAI(base_url=url + "/v1", api_key="none")

    class State(TypedDict):
        said: str

    tries = []

    async def ask(state):
        tries.append(1)
        with span("think"):
            answer = await client.chat.completions.create(
                model="small", messages=[{"role": "user", "content": "bees?"}])
        if len(tries) == 1:
            raise ConnectionError("dropped")
        return {"said": answer.choices[0].message.content}

    def check(state):
        return {"said": state["said"] + interrupt("Well?")}

    store = SqliteStore(path)
    with Graph("inner", State) as inner:
        START >> node(ask, name="ask", retry=Retry(2, wait=0.01)) >> END
    with Graph("outer", State, store=store) as outer:
        START >> node(inner, name="inner") >> node(check, name="check") >> END
    if work == "start":
        with trace.get_tracer("the user's").start_as_current_span("cell"):
            outer.run({"said": ""}, thread="t")
    else:
        outer.thread("t").resume("!").result()
    store.close()
    provider.shutdown()
"""


def spans_of(received):
    return [
        span
        for request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def tree(spans, root):
    """name -> what is under it, by time."""
    under = sorted((s for s in spans if s.parent_span_id == root.span_id), key=by_start)
    return [(span.name, tree(spans, span)) for span in under]


def by_start(span):
    return span.start_time_unix_nano


def in_processes(words):
    """Run the agent in a process of its own, each time that something is sent."""
    while words is not None:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_AGENT), *words],
            capture_output=True, text=True, timeout=120, env=os.environ,
        )  # fmt: skip
        assert 0 == done.returncode, done.stderr
        words = yield


def in_a_kernel(words):
    """Run the agent in a Jupyter kernel, which is restarted each time that something is sent."""
    manager, client = start_new_kernel()
    try:
        while words is not None:
            agent = textwrap.dedent(_AGENT).replace("sys.argv[1:]", repr(words))
            reply = client.execute_interactive(agent, timeout=60, output_hook=lambda message: None)
            assert "ok" == reply["content"]["status"], reply["content"].get("traceback")
            words = yield
            manager.restart_kernel(now=True)
            client.wait_for_ready(timeout=60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("place", [in_processes, in_a_kernel])
def test_a_trace_across_a_question_and_a_restart(server, tmp_path, place):
    """Span by span: the cell, the run, its steps, the inner run, attempts, the call of a model.
    (R37, R40, R41)"""
    words = [f"http://127.0.0.1:{server.server_port}", str(tmp_path / "a.db")]
    where = place([*words, "start"])

    def spans():
        found = spans_of(server.received)
        server.received.clear()
        return found

    next(where)
    first = spans()
    (cell,) = [span for span in first if not span.parent_span_id]
    call = ("think", [("chat small", [])])
    assert "cell" == cell.name
    inside = [("step 1", [("node ask", [call]), ("node ask", [call])])]
    assert [
        (
            "invoke_agent outer",
            [
                ("step 1", [("node inner", [("invoke_agent inner", inside)])]),
                ("step 2", [("node check", [])]),
            ],
        )
    ] == tree(first, cell)
    failed, good = sorted((s for s in first if s.name == "node ask"), key=by_start)
    assert ("ConnectionError: dropped", 2) == (failed.status.message, failed.status.code)
    assert ["exception"] == [event.name for event in failed.events]
    assert 0 == good.status.code
    facts = {fact.key: fact.value for fact in good.attributes}
    assert ("ask", 2) == (
        facts["nbagent.node"].string_value,
        facts["nbagent.attempt"].int_value,
    )

    where.send([*words, "resume"])
    second = spans()
    where.close()
    (again,) = [span for span in second if span.name == "invoke_agent outer"]
    (before,) = [span for span in first if span.name == "invoke_agent outer"]
    assert [(before.trace_id, before.span_id)] == [
        (link.trace_id, link.span_id) for link in again.links
    ]
    assert [("step 2", [("node check", [])])] == tree(second, again)

    store = SqliteStore(tmp_path / "a.db")
    kept = store.spans("t/1:inner")
    think = [span for span in kept if span.name == "think"]
    calls = [span for span in kept if span.name == "chat small"]
    assert (2, 2) == (len(think), len(calls))
    assert [span.id for span in think] == [span.parent for span in calls]
    assert [11, 11] == [span.attributes["gen_ai.usage.input_tokens"] for span in calls]
    assert [1, 2] == [span.attempt for span in calls]
    store.close()


def test_without_opentelemetry_nothing_is_imported():
    """Not by nbagent, and not by a run. No SDK, no cost."""
    text = (
        "import sys; from typing import TypedDict; from nbagent import END, START, Graph, node\n"
        "class S(TypedDict):\n    x: int\n"
        "with Graph('g', S, store='memory://') as g:\n"
        "    START >> node(lambda s: {'x': 1}, name='a') >> END\n"
        "g.run({'x': 0})\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert "[]" == done.stdout.strip(), done.stderr
