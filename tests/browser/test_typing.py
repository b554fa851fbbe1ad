"""What a person types is neither lost, nor changed, nor sent unasked. (R31, R34)"""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import READY, Notebook
from tests.browser.test_main_job import form, setup, status, view

LOOP = """\
%%graph loop
import asyncio
class State(TypedDict):
    n: int
    done: str
@node
async def count(state):
    await asyncio.sleep(0.2)
    return {"n": state.get("n", 0) + 1}
@node
def ask(state):
    return {"done": interrupt("Done?")}
START >> count
count >> branch(lambda state: "on" if state["n"] < 40 else "end", on=count, end=ask)
ask >> END
"""
ODD = """\
%%graph odd
from pydantic import BaseModel
class Message(BaseModel):
    role: str
    text: str
class State(TypedDict):
    constructor: str
    messages: list[Message]
    prices: dict[str, float]
    number: int
    flag: bool
    answer: str
@node
def fill(state):
    return {"constructor": "Ferrari", "prices": {f"key{i}": i * 1.5 for i in range(3000)},
            "messages": [Message(role="a", text="one\\ntwo\\n"), Message(role="b", text="x\\r\\n")]}
@node
def ask(state):
    return {"answer": interrupt("Pay 100 to \\u202enhoJ\\u202c?", show=["constructor"])}
START >> fill >> ask >> END
"""
PAIR = """\
%%graph pair
class State(TypedDict):
    a: str
    b: str
    text: str
@node
def one(state):
    return {"a": interrupt("Question A?")}
@node
def two(state):
    return {"b": interrupt("Question B?")}
START >> [one, two] >> END
"""
ANSWER_A = """\
thread = pair.thread("t")
asked = {question.node: question.id for question in thread.questions}
thread.resume(answers={asked["one"]: "by a colleague"})
while thread.status == "running":
    time.sleep(0.02)
"""
COMPOSED = """\
element => element.dispatchEvent(new KeyboardEvent("keydown",
  {key: "Enter", isComposing: true, keyCode: 229, bubbles: true, cancelable: true}))
"""
LONG = """\
%%graph long
class State(TypedDict):
    alpha: str
    beta: str
    done: str
@node
def fill(state):
    return {"alpha": "ALPHA " * 5000, "beta": "BETA " * 5000}
@node
def ask(state):
    return {"done": interrupt("Done?")}
@node
def fail(state):
    raise ValueError("502: " + "<p>a line of a proxy's page</p>\\n" * 2000)
START >> fill >> ask >> fail >> END
"""


def opened(open_notebook: OpenNotebook, *cells: str) -> Notebook:
    """A notebook whose cells have been run."""
    notebook = open_notebook(cells)
    for index in range(len(cells)):
        notebook.run(index)
    return notebook


def test_a_run_that_goes_on_takes_no_words_and_no_place_away(open_notebook: OpenNotebook) -> None:
    """A note in the history, the keyboard's place there, an Enter that only ends a character."""
    notebook = opened(
        open_notebook, setup("typing"), LOOP, "run = %agent run loop --thread t-1\nrun"
    )
    page = view(notebook, 2)
    page.get_by_role("tab", name="History").click()
    note = page.locator(".nba-history-tools input")
    note.click()
    label = page.locator(".nba-history-tools .nba-muted")
    began_at = label.inner_text()
    note.press_sequentially("wrong because", delay=80)
    note.evaluate(COMPOSED)
    notebook.page.wait_for_timeout(800)

    expect(note).to_have_value("wrong because")
    expect(note).to_be_focused()
    expect(label).to_have_text(began_at)
    note.press("Enter")
    expect(page.locator(".nba-history-note")).to_have_text("wrong because")
    expect(note).to_have_value("")

    row = page.locator(".nba-history-look").nth(2)
    row.focus()
    name = row.get_attribute("aria-label")
    notebook.page.wait_for_timeout(800)
    expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()

    page.get_by_role("button", name="Give the thread a title").click()
    title = page.get_by_label("title", exact=True)
    title.fill("にほ")
    title.evaluate(COMPOSED)
    notebook.page.wait_for_timeout(500)
    expect(title).to_have_value("にほ")
    title.press("Enter")
    expect(page.locator(".nba-title")).to_contain_text("にほ")


def test_a_form_sends_what_was_touched_and_as_it_was_typed(open_notebook: OpenNotebook) -> None:
    """Any name of a field, line breaks, numbers with many digits, marks that hide a text."""
    shown = (
        "state = odd.thread('o').state\n"
        "print([m.text for m in state['messages']], 'flag' in state, state.get('number'))"
    )
    notebook = opened(
        open_notebook, setup("odd"), ODD, "run = %agent run odd --thread o\nrun", shown
    )
    status(notebook, 2, "waiting")
    page = form(notebook, 2)
    expect(page.locator(".nbf-asks")).to_have_text("Pay 100 to �nhoJ�?")
    expect(page.locator("[data-field=constructor] input")).to_have_value("Ferrari")
    expect(page.locator("[data-field]")).to_have_count(1)  # the others are folded away

    page.get_by_text("Correct other fields").click()
    number = page.locator("[data-field=number] input")
    number.fill("9007199254740993")
    expect(page.locator("[data-field=number]")).to_contain_text("more digits than a browser keeps")
    page.get_by_label("answer", exact=True).first.fill("yes")
    page.get_by_role("button", name="Answer and resume").click()
    expect(number).to_be_focused()
    number.fill("12")
    page.get_by_label("messages 1 role").fill("changed")
    page.get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "done")
    notebook.run(3)
    assert r"['one\ntwo\n', 'x\r\n'] False 12" in notebook.outputs(3)


def test_what_was_typed_outlives_what_others_do(open_notebook: OpenNotebook) -> None:
    """A colleague's answer, a button of the view; where it can no longer be sent, it is shown."""
    notebook = open_notebook(
        [
            setup("others"),
            PAIR,
            "run = %agent run pair --thread t\nrun",
            ANSWER_A,
            ANSWER_A.replace("one", "two"),
        ]
    )
    for index in range(3):
        notebook.run(index)
    page = form(notebook, 2)
    expect(page.locator(".nbf-question")).to_have_count(2)
    page.get_by_label("answer", exact=True).nth(1).fill("my long answer")
    notebook.run(3)
    expect(page.locator(".nbf-question")).to_have_count(1)
    expect(page.get_by_label("answer", exact=True).first).to_have_value("my long answer")
    notebook.run(4)  # the other question, too: nothing is left to answer
    status(notebook, 2, "done")
    expect(page).to_contain_text("What you had typed here was not sent")
    expect(page).to_contain_text("my long answer")
    page.get_by_role("button", name="Dismiss").click()
    expect(page).to_be_hidden()


def test_an_unsaved_correction_is_not_passed_over(open_notebook: OpenNotebook) -> None:
    """Resume in the view asks before it goes on without what stands typed below."""
    graph = LOOP.replace("def ask(state):", "def ask(state):\n    raise ValueError('no')\n")
    notebook = opened(
        open_notebook,
        setup("unsaved"),
        graph.replace("< 40", "< 2"),
        "run = %agent run loop --thread u\nrun",
    )
    status(notebook, 2, "failed")
    page, below = view(notebook, 2), form(notebook, 2)
    below.get_by_text("Correct the state").click()
    below.locator("[data-field=n] input").fill("7")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("is not saved")
    status(notebook, 2, "failed")
    page.get_by_role("button", name="Go on without it").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(below.locator("[data-field=n] input")).to_have_value("7")


def test_two_pages_take_their_own_answers(open_notebook: OpenNotebook) -> None:
    """One notebook in two browser tabs: each asks for another text, while the kernel is busy; a
    long error does not push the page away, and what was typed in the other one is shown."""
    notebook = opened(
        open_notebook,
        setup("pages"),
        LONG,
        "run = %agent run long --thread p\nrun",
        "sum(range(10**8))",
    )
    status(notebook, 2, "waiting")
    notebook.save()
    one = notebook.page
    assert one.context.browser is not None
    two = one.context.browser.new_page()
    two.set_default_timeout(30_000)
    try:
        two.goto(f"{notebook.lab.url}/lab/workspaces/two/tree/{notebook.path.name}?reset")
        two.wait_for_function(READY)
        buttons = []
        for page, field in ((one, "alpha"), (two, "beta")):
            page.get_by_role("tab", name="State").first.click()
            page.locator(f".nba-state [data-field={field}] summary").click()
            more = page.locator(f".nba-state [data-field={field}] button", has_text="Show more")
            expect(more).to_be_visible()
            buttons.append(more)
        notebook.start(3)
        for more in buttons:
            more.click()
        for page, field in ((one, "alpha"), (two, "beta")):
            text = page.locator(f".nba-state [data-field={field}] pre")
            page.wait_for_function(
                "(field) => document.querySelector("
                "`.nba-state [data-field=${field}] pre`).textContent.length > 20000",
                arg=field,
            )
            assert {field.upper()} == set(text.inner_text().split())

        for page in (one, two):
            page.get_by_role("tab", name="Now").first.click()
        form(notebook, 2).get_by_label("answer", exact=True).first.fill("typed in this tab")
        two.get_by_label("answer", exact=True).first.fill("yes")
        two.get_by_role("button", name="Answer and resume").click()
        status(notebook, 2, "failed")
        expect(form(notebook, 2)).to_contain_text("What you had typed here was not sent")
        expect(form(notebook, 2)).to_contain_text("typed in this tab")
    finally:
        two.close()
    box = view(notebook, 2).bounding_box()
    assert box is not None and box["height"] < 900


def test_what_was_typed_outlives_page_and_kernel(open_notebook: OpenNotebook) -> None:
    """A reload, and a kernel that was restarted: the view that takes its place has the words. A
    form that turns to another thread has none of them, and gives them back afterwards."""
    notebook = opened(
        open_notebook,
        setup("outlives"),
        PAIR,
        "run = %agent run pair --thread t\nrun",
        "_ = pair.run({}, thread='u'); print(pair.thread('u').status)",
        "from nbagent.notebook.view import panel\n"
        "(shown,) = panel._shown.values()\nshown.open(pair.thread('u'))",
        "shown.open(pair.thread('t'))",
    )
    status(notebook, 2, "waiting")
    page = form(notebook, 2)
    first, second = (page.get_by_label("answer", exact=True).nth(place) for place in (0, 1))
    second.fill("my long answer")
    notebook.run(4)
    expect(view(notebook, 2)).to_contain_text("pair / u")
    expect(second).to_have_value("")
    notebook.run(5)
    expect(view(notebook, 2)).to_contain_text("pair / t")
    expect(second).to_have_value("my long answer")
    first.fill("another")
    notebook.save()
    notebook.page.wait_for_timeout(300)  # a person does not reload within a tenth of a second
    notebook.page.reload()
    notebook.wait_until_ready()
    expect(first).to_have_value("another")
    expect(second).to_have_value("my long answer")

    notebook.restart_kernel()
    notebook.run(0)
    notebook.run(1)
    notebook.output(2).get_by_role("button", name="Show it in the new kernel").click()
    expect(view(notebook, 2).get_by_role("alert")).to_have_count(0)
    expect(view(notebook, 2)).to_contain_text("waiting")
    expect(first).to_have_value("another")
    expect(second).to_have_value("my long answer")
    page.get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "done")
