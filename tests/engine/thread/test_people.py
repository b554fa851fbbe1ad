"""People: an answer lands on the question that was seen; an edit is not lost. (R31, R35, W12)"""

import operator
import threading
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, each, interrupt, node
from nbagent.engine import ports
from nbagent.errors import StaleAnswer, StateError
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


class Two(TypedDict):
    a: str
    b: str


def two_questions(store):
    with Graph("pay", Two, store=store) as graph:

        @node
        def draft(state):
            return {"a": interrupt("Save a draft?")}

        @node
        def wire(state):
            return {"b": interrupt("Wire 1,000,000?")}

        START >> draft >> wire >> END
    return graph


def test_an_answer_to_an_earlier_question_is_refused(store):
    """Two people see the first question; the second one's yes is not the answer to the next."""
    graph = two_questions(store)
    graph.run({"a": "", "b": ""}, "t")
    first, second = graph.thread("t"), graph.thread("t")
    assert first.questions == second.questions

    first.resume("yes").result(10)
    with pytest.raises(StaleAnswer, match=r"'Save a draft\?'.*'Wire 1,000,000\?'") as caught:
        second.resume("yes")

    (asked,) = graph.thread("t").questions
    assert (asked.id, "waiting") == (caught.value.asked, graph.thread("t").status)
    assert asked.id in str(caught.value)
    assert "no" == second.resume(answers={asked.id: "no"}).result(10)["b"]


@pytest.mark.parametrize("how", ["questions", "result", "nothing"])
def test_who_has_seen_the_question_answers_it(store, how):
    """By looking, by waiting for the run that asked, or, with one question, without looking."""
    graph = two_questions(store)
    thread = graph.thread("t")
    thread.start({"a": "", "b": ""}).result(10)
    run = thread.resume("yes")
    run.result(10)
    if how == "questions":
        thread = graph.thread("t")
        assert ["Wire 1,000,000?"] == [one.question for one in thread.questions]
    elif how == "nothing":
        thread = graph.thread("t")

    assert "no" == thread.resume("no").result(10)["b"]


@pytest.fixture
def cell():
    """The cell that is executed; an execution of its own each time that it is set."""
    now: list[tuple[str, str] | None] = [None]
    before = ports.find_cell._functions
    ports.find_cell.fill(lambda: now[0])
    yield lambda digest, execution: now.__setitem__(0, (digest, execution))
    ports.find_cell._functions = before


def test_a_cell_that_is_run_again_does_not_answer_the_next_question(store, cell):
    """Also in another kernel; another cell does, and so does a loop in one."""
    graph = two_questions(store)
    cell("start", "1")
    graph.run({"a": "", "b": ""}, "t")
    cell("resume t yes", "2")
    graph.thread("t").resume("yes").result(10)

    cell("resume t yes", "3")
    with pytest.raises(StaleAnswer, match=r"given before.*'Wire 1,000,000\?'"):
        graph.thread("t").resume("yes")
    (asked,) = two_questions(store).thread("t").questions
    cell("resume t yes", "4")
    assert "yes" == graph.thread("t").resume(answers={asked.id: "yes"}).result(10)["b"]

    graph.run({"a": "", "b": ""}, "loop")
    cell("a loop", "5")
    for _ in range(2):
        graph.thread("loop").resume("yes").result(10)
    assert "done" == graph.thread("loop").status


class State(TypedDict):
    v: str
    log: Annotated[list[str], operator.add]
    w: str


def reviewed(store):
    with Graph("reviewed", State, store=store) as graph:

        @node
        def web(state):
            return {"v": "from web", "log": ["web"]}

        @node
        def ask(state):
            return {"w": interrupt("is v right?", show=["v"])}

        @node
        def use(state):
            return {"w": f"used {state['v']}"}

        START >> [web, ask] >> use >> END
    return graph


def test_a_reviewer_sees_what_finished_siblings_wrote(store):
    graph = reviewed(store)
    graph.run({"v": "old", "log": []}, "t")

    assert {"v": [("web", "from web")], "log": [("web", ["web"])]} == graph.thread("t").unmerged


def test_an_edit_is_not_overwritten_by_what_finished_before_it(store):
    """A field without a reducer keeps the edit; a reducer merges what was written into it."""
    graph = reviewed(store)
    graph.run({"v": "old", "log": []}, "t")
    thread = graph.thread("t")

    thread.edit({"v": "CORRECTED", "log": ["noted"]})

    end = thread.resume("ok").result(10)
    assert ("CORRECTED", "used CORRECTED", ["noted", "web"]) == (end["v"], end["w"], end["log"])


class Inner(TypedDict):
    x: int
    total: Annotated[int, operator.add]


@pytest.mark.parametrize("restarts", [False, True])
def test_an_edit_reaches_a_subgraph_that_waits(store, restarts):
    """It goes on with what the person set, and what it adds is added once."""

    def graphs():
        with Graph("inner", Inner, store=store) as inner:

            @node
            def ask(state):
                interrupt("go on?")
                return {"x": state["x"] + 1, "total": 5}

            START >> ask >> END
        with Graph("outer", Inner, store=store) as outer:
            START >> inner >> END
        return outer

    outer = graphs()
    outer.run({"x": 0, "total": 1}, "t")
    outer.thread("t").edit({"x": 100, "total": 10})
    if restarts:
        outer = graphs()

    assert {"x": 101, "total": 15} == outer.thread("t").resume("ok").result(10)


def test_an_edit_of_what_a_subgraph_has_changed_says_where_to_make_it(store):
    with Graph("inner", Inner, store=store) as inner:

        @node
        def add(state):
            return {"x": 7}

        @node
        def ask(state):
            interrupt("go on?")
            return {}

        START >> add >> ask >> END
    with Graph("outer", Inner, store=store) as outer:
        START >> inner >> END
    outer.run({"x": 0, "total": 0}, "t")
    before = outer.thread("t").checkpoint_id

    with pytest.raises(StateError, match=r"being changed by graph 'inner'.*thread 't/1:inner'"):
        outer.thread("t").edit({"x": 100})

    assert before == outer.thread("t").checkpoint_id
    inner.thread("t/1:inner").edit({"x": 50})
    assert 50 == outer.thread("t").resume("ok").result(10)["x"]


class Payment(TypedDict, total=False):
    amount: int
    to: str
    fee: int
    said: str
    log: Annotated[list, operator.add]


def asks_to_pay(store, first=None):
    with Graph("pay", Payment, store=store) as made:

        @node
        def prepare(state):
            return {"fee": 1, **(first or {})}

        @node
        def ask(state):
            said = interrupt("Pay?", show=["amount"])
            return {"said": f"{said}: {state['amount']} to {state.get('to')}"}

        START >> prepare >> ask >> END
    return made


def calls_it(store, how, calls):
    """A graph that asks for a payment, as a subgraph or called by a node's code."""
    pay = asks_to_pay(store)
    with Graph("outer", Payment, store=store) as outer:
        if how == "inputs":
            START >> node(pay, name="n", inputs=lambda s: {"amount": s["amount"] * 2}) >> END
        else:

            @node(name="n")
            async def call(state):
                calls.append(state["amount"])
                given = {"amount": state["amount"] * 2}
                return {"said": (await pay.arun(given))["said"]}

            START >> call >> END
    return outer


@pytest.mark.parametrize("how", ["inputs", "called"])
def test_an_edit_reaches_a_graph_that_began_with_something_made_of_it(store, how):
    """By a function, or by a node's code: who is shown the field is asked with what it is now,
    once, and nothing that was done in it is done again."""
    outer = calls_it(store, how, [])
    outer.run({"amount": 5}, "t")
    outer.thread("t").edit({"amount": 500})
    outer = calls_it(store, how, [])
    outer.thread("t").resume("yes").result(10)
    if how == "called":  # only its call tells what it is to have
        assert ["Pay?"] == [one.question for one in outer.thread("t").questions]
        outer.thread("t").resume("yes").result(10)

    assert "yes: 1000 to None" == outer.thread("t").state["said"]


def test_a_called_graph_that_has_changed_the_field_says_where_to_edit(store):
    """The node fails, and goes on with what was set there."""
    pay = asks_to_pay(store, {"amount": 7})
    with Graph("outer", Payment, store=store) as outer:

        @node
        def call(state):
            return {"said": pay.run({"amount": state["amount"]})["said"]}

        START >> call >> END
    outer.run({"amount": 5}, "t")
    outer.thread("t").edit({"amount": 500})
    (inner,) = [info.id for info in store.threads() if info.is_nested]
    with pytest.raises(NodeError, match=f"edit it there, in thread '{inner}'"):
        outer.thread("t").resume("yes").result(10)
    pay.thread(inner).edit({"amount": 9, "to": "Ada"})
    outer.thread("t").resume().result(10)
    outer.thread("t").resume("no").result(10)

    assert "no: 9 to Ada" == outer.thread("t").state["said"]


def test_words_that_a_model_makes_anew_are_no_edit(store):
    """Only a person's edit since the call began changes what the called graph goes on with."""
    pay, words = asks_to_pay(store), iter("abc")
    with Graph("outer", Payment, store=store) as outer:

        @node
        def call(state):
            return {"said": pay.run({"amount": 5, "to": next(words)})["said"]}

        START >> call >> END
    outer.run({}, "t")
    outer.thread("t").resume("yes").result(10)

    assert "yes: 5 to a" == outer.thread("t").state["said"]


def test_an_edit_does_not_reach_a_graph_that_was_sent_its_input(store):
    """Each has its own amount, and keeps it."""
    pay = asks_to_pay(store)
    with Graph("outer", Payment, store=store) as outer:
        one = node(pay, name="n", outputs={})
        START >> each(lambda s: [{"amount": 1}, {"amount": 2}], one) >> END
    outer.run({"amount": 5}, "t")
    thread = outer.thread("t")
    thread.edit({"amount": 500})
    held = [pay.thread(i.id).state["amount"] for i in store.threads() if i.is_nested]

    assert [1, 2] == sorted(held)


def test_an_escalation_gives_back_only_what_the_other_graph_wrote(store):
    go, fails = threading.Event(), [True]
    with Graph("main", Two, store=store) as main:

        @node
        def work(state):
            if fails[0]:
                raise RuntimeError("help me")
            return {}

        START >> work >> END
    with Graph("helper", Two, store=store) as helper:

        @node
        def find(state):
            assert go.wait(10)
            return {"b": "found"}

        START >> find >> END
    with pytest.raises(NodeError):
        main.run({"a": "100", "b": ""}, "t")
    escalation = main.thread("t").escalate(helper)

    main.thread("t").edit({"a": "5"}, note="never spend more")
    fails[0] = False
    go.set()

    assert {"a": "5", "b": "found"} == escalation.result(20)
