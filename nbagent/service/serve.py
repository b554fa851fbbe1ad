"""
Threads over HTTP, on this machine: `nbagent serve FILE`.

    POST /threads                     start one: {"input": {…}, "graph": NAME, "thread": ID}
    GET  /threads                     all of the store
    GET  /threads/{id}                one: status, state, questions
    GET  /threads/{id}/state          its state
    GET  /threads/{id}/stream         what happens in it, as server-sent events, to its end
    POST /threads/{id}/answer         {"answer": …, "question": ID}: it goes on at once
    POST /threads/{id}/resume         go on with one that was paused, stopped, or has failed

Rule 1: it listens on 127.0.0.1, and every request carries the token: `Authorization: Bearer …`, or
        `?token=` where a browser's EventSource can send no header. A page of another site that
        guesses the port gets nothing: no answer allows its origin, and its Host is refused.
Rule 2: what is wrong is a JSON `{"error": sentence}`: 401, 404, 409 (somebody runs it, or it asks
        something else), 422 (an input or an answer that does not fit).

FastAPI serves: its pages and /openapi.json come from these functions' own types, and it is kept.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pydantic
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, StreamingResponse

from nbagent.engine.model.readable import to_plain
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.leave_answer import open_questions
from nbagent.engine.thread.thread import Thread
from nbagent.engine.watch.events import Event, RunEnded
from nbagent.errors import (
    NbagentError,
    StaleAnswer,
    StateError,
    ThreadBusy,
    ThreadError,
    UnknownQuestion,
    UnknownThread,
)
from nbagent.graph.builder import Graph, new_id
from nbagent.stores.lookup.questions import question_facts
from nbagent.stores.lookup.rows import moment, state_of, thread_rows


class Start(pydantic.BaseModel):
    """What a thread begins with; `graph` where the file has several, `thread` its id."""

    input: dict[str, Any] = {}
    graph: str | None = None
    thread: str | None = None


class Answer(pydantic.BaseModel):
    """An answer, and which question it is for, where several are open."""

    answer: Any
    question: str | None = None


def application(graphs: Mapping[str, Graph], store: CheckpointStore | None, token: str) -> FastAPI:
    """The application, for any ASGI server."""

    def check(request: Request) -> None:
        said = request.headers.get("authorization", "")
        given = said.removeprefix("Bearer ") if said else request.query_params.get("token", "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(401, "the token is missing, or another one")

    app = FastAPI(title="nbagent", description=__doc__.partition("Rule 1")[0], version="1")
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])
    guarded = [Depends(check)]

    @app.exception_handler(NbagentError)
    async def said(request: Request, error: NbagentError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, _code(error))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    def stored(id: str) -> Thread:
        for graph in graphs.values():
            found = graph.store if store is None else store
            try:
                info = found.thread(id)
            except UnknownThread:
                continue
            if info.graph in graphs:
                return Thread(id, program=graphs[info.graph].compile(), store=found)
        raise UnknownThread(f"there is no thread {id!r}", thread=id)

    @app.get("/threads", dependencies=guarded)
    def threads() -> list[dict[str, Any]]:
        "All threads, newest first."
        stores = [store] if store is not None else list(
            dict.fromkeys(graph.store for graph in graphs.values())
        )  # fmt: skip
        return [row for each in stores for row in thread_rows(each)]

    @app.post("/threads", status_code=201, dependencies=guarded)
    def start(body: Start) -> dict[str, Any]:
        "Start a thread; it runs on after this has answered."
        if body.graph is None and len(graphs) > 1:
            raise StateError(f"say which graph: {', '.join(graphs)}")
        name = body.graph or next(iter(graphs))
        if name not in graphs:
            raise HTTPException(404, f"there is no graph {name!r}: there are {', '.join(graphs)}")
        graph = graphs[name]
        id = body.thread or new_id(name)
        made = Thread(id, program=graph.compile(), store=store or graph.store)
        made.start(body.input)
        return _seen(made)

    @app.get("/threads/{id}", dependencies=guarded)
    def thread(id: str) -> dict[str, Any]:
        "A thread: its status, its state, what it asks."
        return _seen(stored(id))

    @app.get("/threads/{id}/state", dependencies=guarded)
    def state(id: str) -> dict[str, Any]:
        "A thread's latest state."
        return state_of(stored(id).store, id)

    @app.post("/threads/{id}/answer", dependencies=guarded)
    def answer(id: str, body: Answer) -> dict[str, Any]:
        "Answer what it asks; it goes on at once."
        found = stored(id)
        found.resume(answers={body.question or _only(found): body.answer})
        return _seen(found)

    @app.post("/threads/{id}/resume", dependencies=guarded)
    def resume(id: str) -> dict[str, Any]:
        "Go on with a thread that was paused, stopped, or has failed."
        found = stored(id)
        found.resume()
        return _seen(found)

    @app.get("/threads/{id}/stream", dependencies=guarded)
    async def stream(id: str) -> StreamingResponse:
        "What happens in it, as server-sent events, until its run ends."
        found = await asyncio.to_thread(stored, id)
        return StreamingResponse(_events(found), media_type="text/event-stream")

    return app


def serve(
    graphs: Mapping[str, Graph],
    store: CheckpointStore | None = None,
    *,
    port: int = 8765,
    token: str,
) -> None:
    """Serve until Ctrl-C or SIGTERM; what runs is paused then."""
    uvicorn.run(application(graphs, store, token), host="127.0.0.1", port=port, log_level="warning")


def _only(thread: Thread) -> str:
    """The id of the one open question."""
    questions = thread.questions
    if len(questions) != 1:
        raise UnknownQuestion(
            f"thread {thread.id!r} has {len(questions)} open questions: say which", thread=thread.id
        )
    return questions[0].id


def _seen(thread: Thread) -> dict[str, Any]:
    info = thread.info
    return {
        "thread": thread.id,
        "graph": info.graph,
        "status": info.status,
        "step": info.step,
        "checkpoint": info.checkpoint,
        "updated": moment(info.updated),
        "error": info.error,
        "state": state_of(thread.store, thread.id),
        "questions": [
            to_plain(question_facts(one)) for one in open_questions(thread.store, thread.id)
        ],
    }


async def _events(thread: Thread) -> AsyncIterator[str]:
    """Server-sent events: `event:` the kind, `data:` its facts; one `end` with the thread."""
    run = thread.run
    if run is not None:
        async for event in run.stream():
            yield _sent(type(event).__name__, _facts(event))
            if isinstance(event, RunEnded):
                break
    yield _sent("end", await asyncio.to_thread(_seen, thread))


def _facts(event: Event) -> dict[str, Any]:
    names = [name for name in type(event).__dataclass_fields__ if name != "checkpoint"]
    return {name: to_plain(getattr(event, name)) for name in names}


def _sent(kind: str, facts: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(facts, ensure_ascii=False, default=str)}\n\n"


def _code(error: NbagentError) -> int:
    if isinstance(error, UnknownThread):
        return 404
    if isinstance(error, (ThreadBusy, StaleAnswer, UnknownQuestion, ThreadError)):
        return 409
    return 422 if isinstance(error, StateError) else 400
