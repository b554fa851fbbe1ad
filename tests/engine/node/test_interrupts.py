"""A person's part: questions, answers, pauses. (R27 to R32)"""

import asyncio
import operator
import threading
import time
from typing import TypedDict

import pytest

from nbagent import Graph, node
from nbagent.engine.node.interrupts import interrupt
from nbagent.errors import NodeError, ThreadError, UnknownQuestion, UnknownThread
from nbagent.stores.memory import MemoryStore
from tests.engine.build import END, START, Edge, program, sync, task, thread


def asking(calls, *names):
    """Sibling nodes that each ask one question and log the answer."""

    def node(name):
        def run(state):
            calls.append(name)
            return {"log": [(name, interrupt(f"{name}?"))]}

        return sync(name, run)

    wires = [Edge(START, name) for name in names] + [Edge(name, END) for name in names]
    return program(*map(node, names), reduced={"log": operator.add}, wires=wires)


def test_a_question_ends_the_run_and_nothing_stays_alive():
    """Status waiting, the question with its id, no run in this process. (R28)"""
    one = thread(asking([], "a"))
    run = one.start({"log": []})
    run.result()

    assert "waiting" == run.status == one.status
    assert ("1:a:0", "a", "a?") == (
        one.questions[0].id,
        one.questions[0].node,
        one.questions[0].question,
    )
    assert one.run is None


def test_a_reviewer_finds_everything_in_the_checkpoint():
    """Who has the store and the program, and never saw the run, sees what ran, what is asked and
    what the state is, corrects it, and answers. (R35)"""
    made = program(
        sync("a", lambda state: {"x": 1}),
        sync("b", lambda state: {"y": (state["x"], interrupt("Which?", show=["x"]))}),
        fields=("x", "y"),
        wires=[Edge(START, "a"), Edge("a", "b"), Edge("b", END)],
    )
    store = MemoryStore()
    thread(made, store=store).start({"x": 0}).result()

    reviewers = thread(made, store=store)
    (asked,) = reviewers.questions
    assert ("waiting", {"x": 1}, ("b",)) == (reviewers.status, reviewers.state, reviewers.next)
    assert ("b", "Which?", ("x",)) == (asked.node, asked.question, tuple(asked.show))
    assert [(), ("1:a",)] == [info.ran for info in store.history("t")]
    reviewers.edit({"x": 7}, note="it was wrong")

    assert {"x": 7, "y": (7, "this")} == reviewers.resume("this").result()


def test_an_answer_runs_the_node_again_from_its_top():
    """The interrupt returns the answer; the thread goes on as after a crash. (R30)"""
    calls = []
    one = thread(asking(calls, "a"))
    one.start({"log": []}).result()

    assert [("a", "yes")] == one.resume("yes").result()["log"]
    assert ["a", "a"] == calls


def test_answering_one_of_three_runs_only_that_one_again():
    """Each question is answered by its id, in any order, in separate calls. (W1)"""
    calls = []
    one = thread(asking(calls, "a", "b", "c"))
    one.start({"log": []}).result()
    calls.clear()

    one.resume(answers={"1:b:0": 2}).result()
    assert ["b"] == calls
    assert ["1:a:0", "1:c:0"] == [question.id for question in one.questions]

    one.resume(answers={"1:c:0": 3, "1:a:0": 1}).result()
    assert ("done", [("a", 1), ("b", 2), ("c", 3)]) == (one.status, one.state["log"])


def test_several_questions_in_one_node_are_asked_in_turn():
    """What was answered is not asked again."""
    asked = []

    def run(state):
        first = interrupt("first?")
        asked.append(first)
        return {"x": (first, interrupt("second?"))}

    one = thread(program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result()
    one.resume("1").result()
    assert ["second?"] == [question.question for question in one.questions]

    assert {"x": ("1", "2")} == one.resume("2").result()


def test_an_edit_while_a_sibling_waits_keeps_its_result_and_the_question():
    """The finished sibling does not run again, and the question keeps its id. (R31)"""
    calls = []
    made = program(
        sync("done", lambda s: calls.append("done") or {"y": 1}),
        sync("asks", lambda s: {"z": (s["x"], interrupt("ok?"))}),
        fields=("x", "y", "z"),
        wires=[Edge(START, "done"), Edge(START, "asks"), Edge("done", END), Edge("asks", END)],
    )
    one = thread(made)
    one.start({"x": "old"}).result()
    before = one.questions[0].id

    one.edit({"x": "new"}, note="typo")
    assert before == one.questions[0].id
    assert {"x": "new", "y": 1, "z": ("new", "yes")} == one.resume("yes").result()
    assert ["done"] == calls


def test_wrong_answers_are_refused_before_any_node_runs():
    """Unknown, repeated and ambiguous answers, and an unknown thread, are typed errors. (W21)"""
    calls = []
    one = thread(asking(calls, "a", "b"))
    with pytest.raises(UnknownThread):
        one.resume("x")
    one.start({"log": []}).result()
    calls.clear()

    with pytest.raises(UnknownQuestion, match="2 open questions"):
        one.resume("x")
    with pytest.raises(UnknownQuestion, match="1:z:0"):
        one.resume(answers={"1:z:0": 1})
    one.resume(answers={"1:a:0": 1}).result()
    with pytest.raises(UnknownQuestion):
        one.resume(answers={"1:a:0": 1})
    assert ["a"] == calls
    assert "waiting" == one.status


def test_a_node_cannot_swallow_a_pause():
    """Neither `except Exception` nor a bare `except` hides that it asked."""

    def polite(state):
        try:
            return {"x": interrupt("one?")}
        except Exception:
            return {"x": "swallowed"}

    def rude(state):
        try:
            return {"y": interrupt("two?")}
        except BaseException:
            return {"y": "swallowed"}

    made = program(
        sync("polite", polite),
        sync("rude", rude),
        fields=("x", "y"),
        wires=[Edge(START, "polite"), Edge(START, "rude"), Edge("polite", END), Edge("rude", END)],
    )
    one = thread(made)
    one.start({}).result()

    assert ["one?", "two?"] == [question.question for question in one.questions]
    assert {} == one.state


def test_questions_are_found_in_any_order():
    """An answer reaches the question that it was given for, wherever that stands now."""
    order = ["first?", "second?"]

    def run(state):
        return {"x": {question: interrupt(question) for question in order}}

    one = thread(program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result()
    one.resume("1").result()
    order.reverse()

    assert {"x": {"second?": "2", "first?": "1"}} == one.resume("2").result()


def test_equal_questions_are_told_apart_by_their_number():
    """The n-th of one text is the n-th, and so is that of one key."""

    def run(state):
        return {"x": [interrupt("more?"), interrupt("more?"), interrupt("or?", key="k")]}

    one = thread(program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result()
    for answer in "123":
        one.resume(answer).result()

    assert {"x": ["1", "2", "3"]} == one.state


def test_questions_that_are_asked_at_once_are_all_open():
    """Two branches of a `gather` ask: a person sees both, and each gets its own answer."""

    async def run(state):
        async def ask(name, seconds):
            await asyncio.sleep(seconds)
            return interrupt(name)

        late.reverse()
        return {"x": list(await asyncio.gather(ask("a?", late[0]), ask("b?", late[1])))}

    late = [0.0, 0.0]
    one = thread(program(task("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result(5)
    assert ["a?", "b?"] == [question.question for question in one.questions]
    late[:] = [0.01, 0.05]
    first, second = one.questions

    assert {"x": ["A", "B"]} == one.resume(answers={first.id: "A", second.id: "B"}).result(5)


def test_a_question_in_other_words_is_found_once_it_has_a_key():
    """The error says to give it a key=, and with that the person's answer is there. (W21)"""
    hours, key = iter(range(1, 9)), None

    def run(state):
        return {"x": interrupt(f"It is {next(hours)} o'clock. Send?", key=key)}

    one = thread(program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result()
    with pytest.raises(NodeError, match="give it a key="):
        one.resume("yes").result()
    key = "send"

    assert {"x": "yes"} == one.resume().result()


def test_another_question_never_gets_the_answer_of_a_question_without_a_key():
    """A new question with a key stands before one that was answered: it is asked. (W21)"""
    questions = [("Send?", None)]

    def run(state):
        return {"x": [interrupt(text, key=key) for text, key in questions] + [1 / ok[0]]}

    ok = [0]
    one = thread(program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result()
    with pytest.raises(NodeError, match="ZeroDivision"):
        one.resume("yes").result()
    ok[0] = 1
    questions.insert(0, ("Delete?", "delete"))
    one.resume().result()

    assert ["Delete?"] == [question.question for question in one.questions]
    assert {"x": ["no", "yes", 1.0]} == one.resume("no").result()


@pytest.mark.parametrize("key", [None, "send"])
def test_a_question_whose_wording_a_person_has_edited_is_asked_as_it_is_now(key):
    """Who answered was shown the old words; with the new ones it is asked once. (R31)"""

    def run(state):
        return {"y": interrupt(f"Send {state['x']} euros to Ada?", key=key)}

    wires = [Edge(START, "a"), Edge("a", END)]
    one = thread(program(sync("a", run), fields=("x", "y"), wires=wires))
    one.start({"x": 10}).result()
    one.edit({"x": 1000})

    assert {"x": 1000} == one.resume("yes").result()
    assert ["Send 1000 euros to Ada?"] == [question.question for question in one.questions]
    assert {"x": 1000, "y": "no"} == one.resume("no").result()


def test_an_answer_to_what_an_edit_has_changed_is_asked_for_again():
    """Its question shows the field; one that shows another field, and an equal value, keep it."""

    def run(state):
        return {"y": [interrupt("Pay?", show=["x"]), interrupt("On Friday?"), 1 / state["z"]]}

    wires = [Edge(START, "a"), Edge("a", END)]
    one = thread(program(sync("a", run), fields=("x", "y", "z"), wires=wires))
    one.start({"x": 10, "z": 0}).result()
    one.resume("yes").result()
    with pytest.raises(NodeError):
        one.resume("no").result()
    one.edit({"x": 10, "z": 1})
    assert () == one.questions
    one.edit({"x": 1000})
    assert ["Pay?"] == [question.question for question in one.questions]
    assert "y" not in one.resume().result()

    assert ["never", "no", 1.0] == one.resume("never").result()["y"]


def test_a_deadline_that_passed_is_answered_when_the_thread_is_next_opened():
    """`on_expiry` is the answer; before the deadline the question stays. (W13)"""
    now = [100.0]

    def run(state):
        return {"x": interrupt("ok?", deadline=60, on_expiry="no answer")}

    made = program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)])
    one = thread(made, clock=lambda: now[0])
    one.start({}).result()
    one.resume().result()
    assert "waiting" == one.status

    now[0] = 161.0
    assert {"x": "no answer"} == one.resume().result()


def test_a_breakpoint_pauses_before_and_after():
    """`pause=` on a node; a resume passes it."""
    made = program(
        sync("a", lambda s: {"x": 1}, pause="after"),
        sync("b", lambda s: {"x": 2}, pause="before"),
        sync("c", lambda s: {"x": 3}),
        wires=[Edge(START, "a"), Edge("a", "b"), Edge("b", "c"), Edge("c", END)],
    )
    one = thread(made)
    assert {"x": 1} == one.start({}).result()
    assert ("paused", ("b",)) == (one.status, one.next)
    assert {"x": 3} == one.resume().result()


def test_single_stepping():
    """`steps=1` makes one super-step and pauses."""
    made = program(
        sync("a", lambda s: {"x": 1}),
        sync("b", lambda s: {"x": 2}),
        wires=[Edge(START, "a"), Edge("a", "b"), Edge("b", END)],
    )
    one = thread(made)
    one.start({"x": 0}, steps=1).result()
    assert ("paused", {"x": 1}) == (one.status, one.state)
    one.resume(steps=1).result()
    assert ("done", {"x": 2}) == (one.status, one.state)


def test_a_pause_lands_on_the_next_boundary():
    """The super-step under way finishes; the next does not begin."""
    began = threading.Event()
    made = program(
        sync("a", lambda s: began.set() or time.sleep(0.1) or {"x": 1}),
        sync("b", lambda s: {"x": 2}),
        wires=[Edge(START, "a"), Edge("a", "b"), Edge("b", END)],
    )
    one = thread(made)
    run = one.start({"x": 0})
    began.wait(5)
    run.pause()

    assert {"x": 1} == run.result()
    assert ("paused", ("b",)) == (one.status, one.next)


def test_a_pause_within_a_time_abandons_a_blocking_node():
    """The pause lands on the last checkpoint, and the node runs again at resume. (W9)"""
    slow, began = [1.0], threading.Event()
    made = program(
        sync("a", lambda s: began.set() or time.sleep(slow[0]) or {"x": 1}),
        wires=[Edge(START, "a"), Edge("a", END)],
    )
    one = thread(made)
    run = one.start({"x": 0})
    assert began.wait(5)
    run.pause(within=0.05)

    assert {"x": 0} == run.result(0.8)
    assert ("paused", ("a",)) == (one.status, one.next)
    slow[0] = 0
    assert {"x": 1} == one.resume().result()


def test_stop_cancels_and_resume_goes_on():
    """A stopped thread keeps its last checkpoint."""
    slow = [5.0]
    made = program(
        sync("a", lambda s: {"x": 1}),
        sync("b", lambda s: time.sleep(slow[0]) or {"x": 2}),
        wires=[Edge(START, "a"), Edge("a", "b"), Edge("b", END)],
    )
    one = thread(made)
    run = one.start({"x": 0})
    while one.checkpoint_id < 2:
        time.sleep(0.01)
    slow[0] = 0
    run.stop()

    assert {"x": 1} == run.result(2)
    assert "stopped" == one.status
    assert {"x": 2} == one.resume().result()


def test_a_thread_that_is_not_done_cannot_be_started_again():
    """The error says to resume it."""
    one = thread(asking([], "a"))
    one.start({"log": []}).result()

    with pytest.raises(ThreadError, match="is waiting: resume it"):
        one.start({"log": []})


# ------------------------------------------------------------------------------ answered anew


def test_an_answer_that_made_its_node_fail_is_given_anew():
    """The error says how, and the thread goes on with the new one. (R31)"""

    def run(state):
        number = interrupt("a positive number?")
        if number < 0:
            raise ValueError("negative")
        return {"x": number}

    one = thread(program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result()
    with pytest.raises(NodeError, match=r"another answer: resume\(answers=\{'1:a:0': …\}\)"):
        one.resume(-1).result()
    with pytest.raises(UnknownQuestion, match=r"answered anew.*1:a:0"):
        one.resume(5)

    assert {"x": 5} == one.resume(answers={"1:a:0": 5}).result()
    with pytest.raises(UnknownQuestion):
        one.resume(answers={"1:a:0": 6})  # its node has finished


def test_what_was_asked_after_a_wrong_answer_is_asked_again_if_need_be():
    """The second question stood on the first answer: it is withdrawn with it. (W21)"""

    def run(state):
        if interrupt("delete it?") == "no":
            return {"x": "kept"}
        return {"x": interrupt("all of it?")}

    one = thread(program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)]))
    one.start({}).result()
    one.resume("yes").result()
    (before,) = one.questions
    assert {} == one.resume(answers={"1:a:0": "oh yes"}).result()
    assert "all of it?" == one.questions[0].question
    with pytest.raises(UnknownQuestion):
        one.resume(answers={before.id: "yes"})

    assert {"x": "kept"} == one.resume(answers={"1:a:0": "no"}).result()


def test_an_answer_inside_a_subgraph_is_given_anew():
    """By the id that the parent asked it under."""

    class State(TypedDict):
        x: int

    store = MemoryStore()
    with Graph("inner", State) as inner:

        @node
        def ask(state):
            number = interrupt("a positive number?")
            if number < 0:
                raise ValueError("negative")
            return {"x": number}

        START >> ask >> END
    with Graph("outer", State, store=store) as outer:
        START >> node(inner, name="sub") >> END
    outer.run({"x": 0}, thread="t")
    (question,) = outer.thread("t").questions
    with pytest.raises(NodeError):
        outer.thread("t").resume(answers={question.id: -1}).result(5)

    assert 5 == outer.thread("t").resume(answers={question.id: 5}).result(5)["x"]
