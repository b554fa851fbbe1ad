"""What a stream's items are: texts, several modes, subgraphs, plain loops, what is missed. (R36)"""

import asyncio
import operator
import threading
from types import SimpleNamespace
from typing import Annotated, TypedDict

import pytest
from openai.types.chat import ChatCompletionChunk

import nbagent
from nbagent import END, START, Graph, Message, Missed, NbagentError, NodeError, emit, node
from nbagent.engine.watch import events as ev
from nbagent.engine.watch.messages import id_of, text_of
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def chunk(text, id="chatcmpl-1"):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return ChatCompletionChunk.model_validate(
        {
            **{"id": id, "object": "chat.completion.chunk", "created": 1, "model": "m"},
            "choices": [] if text is None else [choice],
        }
    )


def nested(*talk, name="outer"):
    """A graph whose node `inner` runs a graph, whose node `talk` emits."""
    with Graph("inner", State, store=MemoryStore()) as inner:

        @node(name="talk")
        def talks(state):
            for one in talk:
                emit(one)
            return {"log": ["talked"]}

        START >> talks >> END
    with Graph(name, State, store=MemoryStore()) as outer:

        @node
        def first(state):
            emit("hello")
            return {"log": ["first"]}

        START >> first >> inner >> END
    return outer


@pytest.mark.parametrize(
    ("value", "text", "id"),
    [
        ("a", "a", None),
        ("", None, None),
        (7, None, None),
        ({"done": 3, "of": 9}, None, None),
        (["a", "b"], None, None),
        (chunk("Hel"), "Hel", "chatcmpl-1"),
        (chunk("Hel").model_dump(), "Hel", "chatcmpl-1"),
        (chunk(None), None, "chatcmpl-1"),
        ({"choices": [{"text": "old"}], "id": "cmpl-1"}, "old", "cmpl-1"),
        ({"type": "response.output_text.delta", "delta": "x", "item_id": "m1"}, "x", "m1"),
        ({"type": "response.completed", "response": {"id": "r"}}, None, None),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "y"}}, "y", None),
        ({"type": "content_block_delta", "delta": {"type": "input_json_delta"}}, None, None),
        (SimpleNamespace(type="text", text="y", snapshot="xy"), None, None),
        ({"role": "assistant", "content": "z", "id": "m"}, "z", "m"),
        ({"content": "a field of the state"}, None, None),
        (SimpleNamespace(content="lang", id="run-1"), "lang", "run-1"),
        ((SimpleNamespace(content="lang", id="run-1"), {"langgraph_node": "a"}), "lang", "run-1"),
        (
            SimpleNamespace(
                content=[{"type": "text", "text": "a"}, {"type": "tool_use"}, "b"], id=None
            ),
            *("ab", None),
        ),
        ({"message": {"role": "assistant", "content": "llama"}}, "llama", None),
        ({"candidates": [{"content": {"parts": [{"text": "gem"}]}}]}, "gem", None),
        (SimpleNamespace(delta="index"), "index", None),
    ],
)
def test_the_text_of_a_chunk_is_found_by_its_shape(value, text, id):
    """An object or the dict that it is; what has no text for a reader is no message."""
    assert (text, id) == (text_of(value), id_of(value))


async def test_messages_are_texts_by_node_and_id():
    """Token by token, in subgraphs too; what has no text is left out."""
    outer = nested(chunk("Hel"), 1, chunk("lo"), chunk(None), chunk("Bye", "chatcmpl-2"))
    read = [item async for item in outer.stream({"log": []}, thread="t", mode="messages")]

    assert [Message] * 4 == [type(item) for item in read]
    assert [("hello", "first"), ("Hel", "talk"), ("lo", "talk"), ("Bye", "talk")] == [
        (item.text, item.node) for item in read
    ]
    assert ["chatcmpl-1", "chatcmpl-1", "chatcmpl-2"] == [item.id for item in read[1:]]
    assert read[0].thread == "t" != read[1].thread


def test_the_messages_of_two_attempts_are_two():
    """What a failed attempt said is not continued by the next."""
    tries = []
    with Graph("g", State, store=MemoryStore()) as graph:

        @node(retry=nbagent.Retry(attempts=2, wait=0, on=ValueError))
        def talk(state):
            tries.append(1)
            emit("a")
            emit("b")
            if len(tries) == 1:
                raise ValueError

        START >> talk >> END
    first, second, third, fourth = graph.stream({"log": []}, mode="messages")

    assert first.id == second.id != third.id == fourth.id


async def test_several_modes_at_once_name_theirs():
    """In the order in which they are asked for; a list of one mode as well."""
    outer = nested("x")
    both = [item async for item in outer.stream({"log": []}, mode=["updates", "emitted"])]
    one = [item async for item in outer.stream({"log": []}, mode=["values"])]

    assert [
        ("emitted", ("first", "hello")),
        ("updates", {"first": {"log": ["first"]}}),
        ("emitted", ("talk", "x")),
        ("updates", {"inner": {"log": ["talked"]}}),
    ] == both
    assert [("values", {"log": ["first"]}), ("values", {"log": ["first", "talked"]})] == one


async def test_subgraphs_are_told_with_the_path_to_them():
    """Their updates, values and events too; without `subgraphs` only what they emit."""
    outer = nested("x")
    updates = [i async for i in outer.stream({"log": []}, mode="updates", subgraphs=True)]
    several = [
        item
        async for item in outer.stream({"log": []}, mode=["values", "messages"], subgraphs=True)
    ]
    events = [i async for i in outer.stream({"log": []}, subgraphs=True)]

    assert [
        ((), {"first": {"log": ["first"]}}),
        (("inner",), {"talk": {"log": ["talked"]}}),
        ((), {"inner": {"log": ["talked"]}}),
    ] == updates
    assert [((), "messages"), ((), "values"), (("inner",), "messages")] == [
        (path, mode) for path, mode, _ in several[:3]
    ]
    assert [(("inner",), "values"), ((), "values")] == [(p, m) for p, m, _ in several[3:]]
    assert {(), ("inner",)} == {path for path, _ in events}
    assert not [event for _, event in events if isinstance(event, ev.SubgraphEvent)]
    assert ((), "done") == (events[-1][0], events[-1][1].status)


async def test_paths_go_down_through_called_graphs():
    """A graph that a node calls is below that node, three deep."""
    middle = nested("deep", name="middle")
    with Graph("top", State, store=MemoryStore()) as top:

        @node
        async def caller(state):
            await middle.arun({"log": []})
            return {"log": ["called"]}

        START >> caller >> END
    read = [i async for i in top.stream({"log": []}, mode="emitted", subgraphs=True)]

    assert [(("caller",), ("first", "hello")), (("caller", "inner"), ("talk", "deep"))] == read


def test_a_plain_loop_reads_a_stream():
    """Of a graph and of a run, with the outcome behind the end."""
    outer = nested("x")
    stream = outer.stream({"log": []}, mode="emitted")
    with pytest.raises(NbagentError, match="has not ended"):
        _ = stream.result

    assert [("first", "hello"), ("talk", "x")] == list(stream)
    assert {"log": ["first", "talked"]} == stream.result
    run = outer.start({"log": []})
    again = run.stream("values")
    assert [["first"], ["first", "talked"]] == [values["log"] for values in again]
    assert {"log": ["first", "talked"]} == again.result == run.result()


def test_a_plain_loop_raises_what_the_run_failed_with():
    """As `graph.run` does; of a run, only its `.result` does."""
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def fails(state):
            emit(1)
            raise ValueError("no")

        START >> fails >> END
    read = []
    with pytest.raises(NodeError):
        read.extend(graph.stream({"log": []}, mode="emitted"))
    assert [("fails", 1)] == list(graph.start({"log": []}).stream("emitted"))
    late = graph.start({"log": []}).stream("emitted")
    list(late)
    with pytest.raises(NodeError):
        _ = late.result


def test_leaving_a_plain_loop_early_pauses_the_run():
    """As leaving an `async for` does; the thread goes on at resume."""
    go_on = threading.Event()
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def first(state):
            emit(1)
            go_on.wait(5)
            return {"log": ["first"]}

        @node
        def second(state):
            return {"log": ["second"]}

        START >> first >> second >> END
    stream = graph.stream({"log": []}, thread="t", mode="emitted")
    assert ("first", 1) == next(stream)
    stream.close()
    go_on.set()
    assert [] == list(stream)
    while graph.thread("t").status == "running":
        threading.Event().wait(0.01)

    assert "paused" == graph.thread("t").status
    assert ["first", "second"] == graph.thread("t").resume().result()["log"]


async def test_a_slow_reader_is_told_in_every_mode_what_is_gone():
    """What is there and what is gone are together what was told."""

    def chatty(state):
        for number in range(500):
            emit(str(number))
            emit(number)

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(chatty) >> END
    run = graph.start({"log": []})
    modes = ["emitted", "messages"]
    streams = [run.stream(mode, buffer=10) for mode in modes]
    paths = run.stream(modes, subgraphs=True, buffer=10)
    await run
    for stream, all_of_it in zip(streams, (1000, 500), strict=True):
        first, *rest = [item async for item in stream]
        assert Missed(all_of_it - 10) == first
        assert 10 == len(rest)
    read = list(paths)
    assert {((), "emitted"), ((), "messages")} == {(path, mode) for path, mode, _ in read}
    gone = sum(item.count for _, _, item in read if isinstance(item, Missed))
    assert 1500 == gone + sum(not isinstance(item, Missed) for _, _, item in read)


async def test_a_late_reader_is_told_what_of_its_mode_is_gone():
    """Of a run that has told more than is kept for those who come late; subgraphs by their path."""
    outer = nested(*map(str, range(1500)))
    run = outer.start({"log": []})
    await run
    items = [item async for item in run.stream("messages")]
    by_path = [item async for item in run.stream("messages", subgraphs=True)]

    assert isinstance(items[0], Missed)
    assert 1501 == items[0].count + len(items) - 1
    assert [(), ("inner",)] == [path for path, item in by_path if isinstance(item, Missed)]
    assert 1501 == sum(
        getattr(item, "count", 1) for _, item in by_path if not isinstance(item, str)
    )
    first, gone, *_ = [item async for item in run.stream()]
    assert (ev.RunStarted, Missed) == (type(first), type(gone))
    updates = [item async for item in run.stream("updates")]
    assert (1, {"inner": {"log": ["talked"]}}) == (updates[0].count, updates[1])


async def test_a_mode_that_is_none_is_refused_at_once():
    """With the nearest name."""
    outer = nested()
    for mode in ("mesages", ["values", "mesages"], []):
        with pytest.raises(NbagentError, match="messages"):
            outer.stream({"log": []}, mode=mode)
    with pytest.raises(NbagentError, match="at least 1"):
        outer.stream({"log": []}, buffer=0)


async def test_readers_on_two_loops_and_none_read_one_run():
    """Each has all of it."""
    outer = nested("x")
    run = outer.start({"log": []})
    here = [item async for item in run.stream("emitted")]
    other = await asyncio.to_thread(asyncio.run, collect_soon(run))
    plain = await asyncio.to_thread(list, run.stream("emitted"))

    assert [("first", "hello"), ("talk", "x")] == here == other == plain


async def collect_soon(run):
    return [item async for item in run.stream("emitted")]
