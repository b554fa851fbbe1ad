"""A cell that is run again, in a real kernel: a second turn, a fresh start, an old answer. (C1)"""

from __future__ import annotations

from tests.notebook.test_kernel import Kernel, kernel

__all__ = ["kernel"]

CELLS = """
%load_ext nbagent
import operator
from typing import Annotated, TypedDict
from nbagent import END, START, branch, interrupt, node
"""
GRAPH = """%%graph g --quiet
class State(TypedDict):
    topic: str
    notes: Annotated[list[str], operator.add]
    verdict: str
@node
def look(state):
    time.sleep(state["topic"] == "slow" and 1.5)
    return {"notes": [state["topic"]]}
@node
def ask(state): return {"verdict": interrupt("go on?")}
START >> look >> ask
ask >> branch("verdict", again=look, done=END)
"""
RUN = "run = %agent run g topic=bees --thread t\nrun"
SHOWN = "t = g.thread('t'); print(t.status, t.state['notes'], t.state.get('verdict'))"
WAIT = "_ = await run"


def ready(kernel: Kernel) -> None:
    kernel.run(CELLS)
    kernel.run(GRAPH, cell="graph")


def test_a_run_cell_again_on_a_thread_that_is_done(kernel: Kernel) -> None:
    """It says that this is turn 2, in words and in the view; `--fresh` begins anew and keeps the
    history; `resume` says that there is nothing to resume."""
    ready(kernel)
    kernel.run(RUN, cell="run")
    kernel.run(WAIT)
    kernel.run("run = %agent resume t done\nawait run", cell="answer")
    assert "is finished: `%agent show t` shows it" in kernel.run("%agent resume t", cell="resume")
    assert "is finished and asks nothing" in kernel.run("g.thread('t').resume('x')", cell="resume2")
    said = kernel.run("import nbagent\np = nbagent.view(g.thread('t'))\n" + RUN[:-4], cell="run")
    assert "Turn 2 of thread 't': this input came on top of what turn 1 left" in said
    kernel.run(WAIT)
    said = kernel.run("print(p.static()['text/plain'])\n" + SHOWN)
    assert "waiting at turn 2 · super-step 3" in said
    assert "waiting ['bees', 'bees'] done" in said
    assert "Turn" not in kernel.run(RUN[:-4].replace("--thread", "--fresh --thread"), cell="run")
    kernel.run(WAIT)
    said = kernel.run(SHOWN + "\nprint(p.static()['text/plain'], len(t.history()))")

    assert "waiting ['bees'] None" in said
    assert "waiting at super-step 1" in said
    kernel.run("run = %agent resume t done\nawait run", cell="answer")
    assert "done ['bees'] done" in kernel.run(SHOWN)
    assert said.strip().endswith(" 7")


def test_the_views_offer_of_a_fresh_start(kernel: Kernel) -> None:
    """Its button takes the last input again, and leaves the line that does the same."""
    ready(kernel)
    kernel.run("import nbagent\ng.start({'topic': 'a'}, 't').result(5)")
    kernel.run("g.thread('t').resume('done').result(5)")
    kernel.run("run = g.start({'topic': 'b'}, 't')\np = nbagent.view(run)\n" + WAIT)
    kernel.run("p.command('afresh', {}); p.run.result(5)")
    said = kernel.run(SHOWN + "\nprint(p.code[-1])")

    assert "waiting ['b'] None" in said
    assert "g.thread(\"t\").start({'topic': 'b'}, fresh=True)" in said


def test_shift_enter_twice_shows_the_run(kernel: Kernel) -> None:
    """While it runs, and while it asks; another input is told that the thread runs here."""
    ready(kernel)
    slow = RUN.replace("bees", "slow")
    kernel.run(slow, cell="run")
    kernel.run("first = run")
    kernel.run(slow, cell="run")
    said = kernel.run("print(first is run, run.status)")
    assert "True running" == said.strip()
    assert "runs here already, with another input" in kernel.run(RUN, cell="other")
    said = kernel.run("g.start({'topic': 'x'}, 't')", cell="code")
    assert "runs in this process already" in said
    kernel.run(WAIT)
    kernel.run(slow, cell="run")
    assert "True waiting" == kernel.run("print(first is run, run.status)").strip()
    said = kernel.run(RUN, cell="other")
    assert "asks a question: go on with `%agent resume t ANSWER`, begin anew with --fresh" in said


def test_an_answering_cell_again_answers_nothing_else(kernel: Kernel) -> None:
    """The magic, the view's form and the line that it leaves each answer the question that was
    seen; the same cell again is refused with the line that answers the new one."""
    ready(kernel)
    kernel.run(RUN, cell="run")
    kernel.run(WAIT)
    answer = "run = %agent resume t again\nawait run"
    assert "Error" not in kernel.run(answer, cell="answer")
    said = kernel.run(answer, cell="answer")
    assert "StaleAnswer" in said
    assert "resume(answers={" in said
    assert "waiting ['bees', 'bees'] again" in kernel.run(SHOWN)
    kernel.run("import nbagent\np = nbagent.view(g.thread('t'))\nid = t.questions[0].id")
    kernel.run("p.submit({'answers': {id: 'again'}}); p.run.result(5)")
    assert "waiting ['bees', 'bees', 'bees'] again" in kernel.run(SHOWN)
    copied = kernel.run("print(p.code[-1])").strip()

    assert 'g.thread("t").resume(answers={' in copied
    assert "has no open question" in kernel.run(copied, cell="copied")
    assert "waiting ['bees', 'bees', 'bees'] again" in kernel.run(SHOWN)
    kernel.run("run = %agent resume t done\nawait run", cell="another")
    assert "done ['bees', 'bees', 'bees'] done" in kernel.run(SHOWN)


def test_an_editing_cell_again_is_the_same_edit(kernel: Kernel) -> None:
    """It does not set back what has been written since; another cell does, and so does a loop in
    one; on a thread that has begun afresh it is an edit of its own."""
    ready(kernel)
    kernel.run(RUN, cell="run")
    kernel.run(WAIT)
    edit = "_ = %agent edit t topic=wasps"
    assert "already" not in kernel.run(edit, cell="edit")
    kernel.run("g.thread('t').edit({'topic': 'ants'})")
    said = kernel.run(edit, cell="edit")
    assert "This cell has made that edit of thread 't' already (checkpoint 3)" in said
    assert "ants" == kernel.run("print(g.thread('t').state['topic'])").strip()
    loop = "for n in '12':\n    _ = %agent edit t topic=$topic\n"
    kernel.run("topic = 'wasps'")
    assert "already" not in kernel.run(loop, cell="another")
    assert "wasps" == kernel.run("print(g.thread('t').state['topic'])").strip()
    kernel.run("g.start({'topic': 'bees'}, 't', fresh=True).result(5)")
    assert "already" not in kernel.run(edit, cell="edit")

    assert "wasps" == kernel.run("print(g.thread('t').state['topic'])").strip()


def test_a_graph_whose_cell_has_changed_is_the_one_that_the_view_uses(kernel: Kernel) -> None:
    """Buttons, the form and the copied line; the form has the fields that there are now."""
    ready(kernel)
    broken = GRAPH.replace('[state["topic"]]', "1 / 0")
    kernel.run(broken, cell="graph")
    kernel.run("import nbagent\nrun = %agent run g topic=bees --thread t\np = nbagent.view(run)")
    assert "ZeroDivisionError" in kernel.run(WAIT, cell="wait")
    mended = GRAPH.replace("topic: str", "topic: str\n    mood: str")
    kernel.run(mended.replace('[state["topic"]]', '[state["topic"].upper()]'), cell="graph")
    assert "mood" in kernel.run("print(list(p.form.form['schema']['properties']))")
    kernel.run("p.command('resume', {}); p.run.result(5)")
    assert "waiting ['BEES'] None" in kernel.run(SHOWN)
    kernel.run(mended.replace('interrupt("go on?")', '"" + interrupt("go on?")[:4]'), cell="graph")
    kernel.run("p.submit({'answers': {t.questions[0].id: 'donee'}}); p.run.result(5)")
    assert "done ['BEES'] done" in kernel.run(SHOWN)
