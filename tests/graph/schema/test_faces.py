"""What of a state goes in and comes out, and what is the nodes' own. (R34)"""

import dataclasses
import operator
from typing import Annotated, TypedDict

import pydantic
import pytest

from nbagent import END, START, Graph, GraphError, StateError, interrupt, node
from nbagent.graph.layout import layout
from nbagent.notebook.shown.run_model import RunModel
from nbagent.notebook.view.forms import json_values
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    question: str
    notes: Annotated[list[str], operator.add]
    scratch: dict[str, int]
    answer: str


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str
    notes: list[str]


def made(*, input=Question, output=Answer, state=State, asks=False, name="g", store=None):
    with Graph(name, state, store=store or MemoryStore(), input=input, output=output) as graph:

        @node
        def think(state):
            return {"scratch": {"tries": 1}, "notes": [state["question"]]}

        @node
        def answer(state):
            text = interrupt("Well?") if asks else f"tried {state['scratch']['tries']}"
            return {"answer": text}

        START >> think >> answer >> END
    return graph


async def test_only_what_comes_out_is_given_back():
    """By each way to wait; the thread has all of it."""
    graph = made()
    wanted = {"answer": "tried 1", "notes": ["why?"]}
    run = graph.start({"question": "why?"}, thread="t")

    assert wanted == await run == run.result() == await graph.arun({"question": "why?"})
    assert {*wanted, "question", "scratch"} == {*graph.thread("t").state}
    stream = graph.stream({"question": "why?"}, mode="values")
    assert {"scratch", "question"} < {*[value async for value in stream][-1]}
    assert wanted == stream.result


def test_a_question_shows_what_has_come_out_so_far():
    """What is not there yet is not made up."""
    got = made(asks=True).run({"question": "why?"}, thread="t")

    assert ({"notes": ["why?"]}, "waiting") == (dict(got), got.status)
    assert {"notes": ["why?"], "answer": "so"} == got.thread.resume("so").result()


def test_an_input_gives_what_goes_in_and_nothing_else():
    """A field of the nodes' own is refused, as one is that the state has not."""
    graph = made()
    with pytest.raises(StateError, match="scratch: is the nodes' own: an input gives question"):
        graph.run({"question": "why?", "scratch": {}})
    with pytest.raises(StateError, match="did you mean 'question'"):
        graph.run({"questoin": "why?"})
    assert [] == list(graph.store.threads())
    graph.run({"question": "why?"}, thread="t")
    with pytest.raises(StateError, match="the nodes' own"):
        graph.run({"scratch": {}}, thread="t")


def test_the_inputs_class_may_say_more_than_the_state():
    """What is required, what a field is when it is left out, and what it may be."""

    class Strict(pydantic.BaseModel):
        question: str = pydantic.Field(min_length=3)

    @dataclasses.dataclass
    class Defaulted:
        question: str = "why?"

    graph = made(input=Strict)
    with pytest.raises(StateError, match="question"):
        graph.run({"question": "?"})
    with pytest.raises(StateError, match="is needed"):
        graph.run({})
    assert ["why?"] == graph.run(Strict(question="why?"))["notes"]
    assert ["why?"] == made(input=Defaulted).run({})["notes"]
    assert ["how?"] == made(input=Defaulted).run(Defaulted("how?"))["notes"]


def test_what_the_state_needs_of_the_nodes_is_not_asked_of_an_input():
    """A field of theirs has no value until one writes it."""

    @dataclasses.dataclass
    class Full:
        question: str
        scratch: dict[str, int]
        notes: Annotated[list[str], operator.add]
        answer: str

    with Graph("g", Full, store=MemoryStore(), input=Question, output=Answer) as graph:
        START >> node(lambda s: {"answer": s.question, "scratch": {}}, name="n") >> END

    assert {"answer": "why?", "notes": []} == graph.run({"question": "why?"})


@pytest.mark.parametrize("option", ["input", "output"])
def test_a_field_that_the_state_lacks_is_refused_where_the_graph_is_made(option):
    """With the nearest name."""

    class Wrong(TypedDict):
        questoin: str

    with pytest.raises(GraphError, match=f"{option}=Wrong has 'questoin'.*did you mean 'question'"):
        Graph("g", State, **{option: Wrong})
    with pytest.raises(GraphError, match="neither a TypedDict"):
        Graph("g", State, **{option: int})


def test_one_alone_leaves_the_other_as_it_was():
    """Without input= anything goes in, without output= all comes out."""
    assert {"answer", "notes", "question", "scratch"} == {
        *made(output=None).run({"question": "why?"})
    }
    got = made(input=None).run({"question": "why?", "notes": ["first"]})
    assert {"answer": "tried 1", "notes": ["first", "why?"]} == got


async def test_a_subgraph_takes_and_gives_what_it_says():
    """Its own fields are not its parent's, though they are called the same."""
    inner = made(name="inner")
    with Graph("outer", State, store=MemoryStore()) as outer:

        @node
        def before(state):
            return {"scratch": {"tries": 7}}

        START >> before >> inner >> END
    got = await outer.arun({"question": "why?", "notes": ["outer"]})

    assert {"question": "why?", "scratch": {"tries": 7}, "answer": "tried 1"} == {
        name: value for name, value in got.items() if name != "notes"
    }
    assert ["outer", "why?"] == got["notes"]


async def test_a_called_graph_gives_what_comes_out():
    """As `arun` does everywhere."""
    inner, seen = made(name="inner"), []
    with Graph("outer", State, store=MemoryStore()) as outer:

        @node
        async def calls(state):
            seen.append(await inner.arun({"question": "why?"}))

        START >> calls >> END
    await outer.arun({})

    assert [{"answer": "tried 1", "notes": ["why?"]}] == seen


def test_a_person_is_shown_what_concerns_a_person():
    """The form and the view leave out the nodes' own; the state's own schema has all of it."""
    graph = made(asks=True)
    graph.run({"question": "why?"}, thread="t")
    thread, program = graph.thread("t"), graph.compile()
    loaded = thread.latest()

    assert {"question", "notes", "answer"} == {*program.schema.form_schema()["properties"]}
    assert {*State.__annotations__} == {*program.schema.json_schema()["properties"]}
    assert {"question", "notes"} == {*json_values(thread, loaded.checkpoint.values)}
    model = RunModel.of_thread(thread, loaded, layout(program))
    assert {"question", "notes"} == {*model.state["values"]}
    assert "scratch" not in str(model.state["changes"])
    thread.edit({"scratch": {"tries": 2}})  # by code, all can be corrected
    assert {"tries": 2} == thread.state["scratch"]
