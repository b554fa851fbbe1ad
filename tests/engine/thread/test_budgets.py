"""Budgets: what is spent is asked about, and is counted over attempts, subgraphs and restarts."""

import operator
import re
from typing import Annotated, TypedDict

import pytest

from nbagent import (
    END,
    START,
    Budget,
    Graph,
    GraphError,
    NodeError,
    Retry,
    branch,
    cached,
    each,
    errors,
    node,
    span,
)
from nbagent.engine.thread.leave_answer import leave_answer
from nbagent.engine.watch.events import BudgetSpent
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    turns: Annotated[int, operator.add]
    items: list[int]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    is_file = request.param == "sqlite"
    made = SqliteStore(tmp_path / "a.db", durability="process") if is_file else MemoryStore()
    yield made
    made.close()


def loop(store, *, turns=10, name="loop", calls=None, node_budget=None, **options):
    """A node that makes one call for 0.25 and 100 tokens, again and again."""
    calls = [] if calls is None else calls

    with Graph(name, State, store=store, **options) as made:

        @node(budget=node_budget)
        def work(state):
            with span("ask", kind="llm", cost=0.25, tokens=100):
                calls.append(len(calls))
            return {"turns": 1}

        def onward(state):
            return "end" if state["turns"] >= turns else "again"

        START >> work >> branch(onward, again=work, end=END)
    return made


def asked(thread):
    return [one.question for one in thread.questions]


@pytest.mark.parametrize("where", ["graph", "run", "node"])
def test_what_is_spent_is_asked_about(store, where):
    """A budget of a graph, a run or a node that is spent is a question, not a failure; nothing more
    is begun; True allows the same again, in another process too. (W25)"""
    calls, budget = [], Budget(cost=0.5)
    options = {"budget": budget} if where == "graph" else {}
    options |= {"node_budget": budget} if where == "node" else {}
    made = loop(store, turns=5, calls=calls, **options)
    given = {"budget": budget} if where == "run" else {}
    made.run({}, "t", **given)

    def thread():
        return loop(store, turns=5, calls=calls, **options).thread("t")

    whose = "node 'work': " if where == "node" else ""
    assert ("waiting", 2) == (thread().status, len(calls))
    assert [f"{whose}0.50 of 0.50 spent, 2 calls: allow 0.50 more?"] == asked(thread())
    assert "waiting" == thread().resume(True).result().status
    assert [f"{whose}1.00 of 1.00 spent, 4 calls: allow 0.50 more?"] == asked(thread())
    assert {"turns": 5} == thread().resume(True).result()
    assert ("done", 5) == (thread().status, len(calls))


@pytest.mark.parametrize("answer", [Budget(cost=0.75), {"cost": 0.75}])
def test_an_answer_says_how_much_more(store, answer):
    """A Budget or a dict is what is added."""
    calls = []
    made = loop(store, turns=20, calls=calls, budget=Budget(cost=0.5))
    made.run({}, "t")
    made.thread("t").resume(answer).result()
    assert 5 == len(calls)
    assert ["1.25 of 1.25 spent, 5 calls: allow 0.50 more?"] == asked(made.thread("t"))


def test_a_refusal_finishes_the_thread(store):
    """False: the thread is finished, and what is done is kept."""
    made = loop(store, budget=Budget(cost=0.5))
    made.run({}, "t")
    outcome = made.thread("t").resume(False).result()
    assert ({"turns": 2}, "done") == (outcome, outcome.status)
    thread = made.thread("t")
    assert ("done", (), ()) == (thread.status, thread.next, thread.questions)
    assert "its budget was not extended" in list(thread.history().note)[-1]


def test_what_cannot_be_an_answer_is_refused(store):
    """Another answer is refused, and the question stays."""
    made = loop(store, budget=Budget(cost=0.5))
    made.run({}, "t")
    for wrong in ("yes", {"money": 3}, {}):
        with pytest.raises(errors.NbagentError):
            made.thread("t").resume(wrong)
    assert "waiting" == made.thread("t").status


@pytest.mark.parametrize(
    "budget, said",
    [
        (Budget(tokens=150), "200 of 150 tokens spent, 2 calls: allow 150 tokens more?"),
        (Budget(calls=3), "3 of 3 calls spent: allow 3 calls more?"),
        (Budget(calls=2, cost=0.5), None),
    ],
)
def test_tokens_and_calls(store, budget, said):
    """Tokens and calls are bounded as cost is; the first that is spent asks."""
    made = loop(store, budget=budget)
    made.run({}, "t")
    assert [said or "0.50 of 0.50 and 2 of 2 calls spent: allow 0.50 and 2 calls more?"] == asked(
        made.thread("t")
    )


def test_seconds_and_prices(store):
    """Seconds count what runs take; a span without a cost is priced by the user's table."""
    prices = {"big": (1000.0, 2000.0)}
    with Graph("priced", State, store=store, budget=Budget(cost=1.0, prices=prices)) as made:

        @node
        def work(state):
            with span("ask", kind="llm", **{"gen_ai.request.model": "big"}) as one:
                one.set(**{"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 250})
            return {"turns": 1}

        START >> work >> branch(lambda state: "work", work=work, end=END)
    made.run({}, "t")
    assert ["1.20 of 1.00 spent, 2 calls: allow 1.00 more?"] == asked(made.thread("t"))
    assert [0.6, 0.6] == list(made.thread("t").trace().query("kind == 'span'").cost)
    slow = loop(store, name="slow")
    slow.run({}, "u", budget=Budget(seconds=0))
    assert re.match(r"0\.\d of 0\.0 seconds spent, 0 calls: allow", asked(slow.thread("u"))[0])


def test_attempts_and_subgraphs_count(store):
    """A failed attempt's calls, a subgraph's and a called graph's are counted; the question of a
    subgraph's task is the parent's, and refusing ends the thread whose budget it is."""
    calls = []
    inner = loop(store, turns=4, name="inner", calls=calls)
    failed = []

    def flaky(state):
        with span("ask", kind="tool", cost=0.25):
            failed.append(1)
        if len(failed) == 1:
            raise OSError("once")
        return {}

    def caller(state):
        inner.run({})
        return {"turns": 100}

    with Graph("outer", State, store=store, budget={"cost": 1.0}) as outer:
        first = node(flaky, name="flaky", retry=Retry(attempts=2, on=OSError, wait=0))
        then = node(caller, name="caller")
        START >> first >> inner >> then >> END
    outer.run({}, "t")
    thread = outer.thread("t")
    assert (2, 2, "waiting") == (len(failed), len(calls), thread.status)
    assert ["1.00 of 1.00 spent, 4 calls: allow 1.00 more?"] == asked(thread)
    thread.resume(True).result()
    assert (6, ["2.00 of 2.00 spent, 8 calls: allow 1.00 more?"]) == (len(calls), asked(thread))
    assert {"turns": 4} == thread.resume(False).result()
    assert "done" == thread.status


def test_one_of_several_asks(store):
    """Of tasks side by side one asks, and one answer lets all go on."""
    with Graph("many", State, store=store, budget=Budget(calls=2)) as made:

        @node
        def plan(state):
            with span("plan", kind="llm"), span("look", kind="tool"):
                return {"items": [1, 2, 3]}

        @node
        def one(item):
            with span("ask", kind="llm"):
                return {"turns": item}

        START >> plan >> each("items", one) >> END
    made.run({}, "t")
    thread = made.thread("t")
    assert 1 == len(thread.questions)
    thread.resume({"calls": 10}).result()
    assert ("done", 6) == (thread.status, thread.state["turns"])


def test_inside_a_node_what_was_paid_for_is_kept(store):
    """A node with many calls is stopped before the next one; what it has cached is not paid for
    again when it goes on. (R6)"""
    paid = []

    def ask(n):
        with span("ask", kind="llm", cost=0.25):
            paid.append(n)
        return n

    with Graph("long", State, store=store) as made:

        @node
        def work(state):
            return {"turns": sum(cached("ask", ask, n) for n in range(4))}

        START >> work >> END
    made.run({}, "t", budget=Budget(cost=0.5))
    assert [0, 1] == paid
    assert {"turns": 6} == made.thread("t").resume(True).result()
    assert [0, 1, 2, 3] == paid


def test_a_run_counts_from_its_input(store):
    """start(budget=) is for that input; a graph's is for all that its thread ever does."""
    made = loop(store, turns=1)
    for _ in range(4):
        made.run({}, "t", budget=Budget(cost=0.5), fresh=True)
        assert "done" == made.thread("t").status
    whole = loop(store, turns=1, name="whole", budget=Budget(cost=0.5))
    whole.run({}, "w")
    whole.run({}, "w", fresh=True)
    whole.run({}, "w", fresh=True)
    assert ["0.50 of 0.50 spent, 2 calls: allow 0.50 more?"] == asked(whole.thread("w"))


def test_figures_are_told(store):
    """Who watches is told what is spent of what."""
    made = loop(store, turns=3, budget=Budget(cost=5.0, calls=9))
    events = []
    run = made.start({}, "t")
    run.watch(events.append)
    run.result()
    told = [event.figures for event in events if isinstance(event, BudgetSpent)]
    assert {"cost": (0.75, 5.0), "calls": (3.0, 9)} == told[-1]


@pytest.mark.parametrize("wrong", [{}, {"cost": -1}, {"cost": "much"}, {"money": 3}, 5])
def test_what_is_no_budget_is_refused(wrong):
    """A budget that bounds nothing, or not in numbers, is refused where it is written."""
    with pytest.raises(GraphError):
        Graph("g", State, budget=wrong)
    with pytest.raises(GraphError):
        node(lambda state: {}, budget=wrong)
    made = loop(MemoryStore())
    with pytest.raises(errors.ThreadError):
        made.start({}, budget=wrong)


def test_a_failure_is_no_question(store):
    """What fails within its budget fails."""
    with Graph("fails", State, store=store, budget=Budget(cost=1)) as made:
        START >> node(lambda state: 1 / 0, name="only") >> END
    with pytest.raises(NodeError):
        made.run({}, "t")
    assert "failed" == made.thread("t").status


def test_an_answer_that_is_left_counts(store):
    """An answer that is given where no graph is at hand is what the next run goes on with."""
    calls = []
    made = loop(store, turns=4, calls=calls, budget=Budget(cost=0.5))
    made.run({}, "t")
    leave_answer(store, "t", {"": Budget(cost=9)})
    assert {"turns": 4} == made.thread("t").resume().result()
    assert 4 == len(calls)
