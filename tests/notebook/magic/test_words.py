"""The words behind the magics: variables in them, and cells whose first line went wrong. (C1)"""

from __future__ import annotations

import pytest

from tests.notebook.magic.test_magics import error_of, shell

__all__ = ["shell"]

BODY = """\
class State(TypedDict):
    who: str
    rows: list[int]
    seen: Annotated[list[str], operator.add]

@node
def greet(state): return {"seen": [state["who"]]}

START >> greet >> END
"""


@pytest.fixture
def ready(shell):
    """A shell with a graph."""
    assert shell.run_cell("%%graph g --quiet\n" + BODY).success
    return shell


def state_of(shell, thread):
    return shell.user_ns["g"].thread(thread).state


def test_a_variable_of_a_loop_names_each_turns_thread(ready):
    """`$who` and `{who}` inside a word, as in IPython's own magics."""
    call = "%agent run g who=$who --thread letter-{who}-$who.x"
    cell = f"for who in ['Ada', 'Bo']:\n    run = {call}\n"
    assert ready.run_cell(cell + "    run.result(5)").success

    assert ["Ada"] == state_of(ready, "letter-Ada-Ada.x")["seen"]
    assert ["Bo"] == state_of(ready, "letter-Bo-Bo.x")["seen"]


def test_a_functions_own_variables_are_found(ready):
    """Names, expressions, whole objects, numbers of options; also a graph that only it has."""
    cell = """
def start(name, rows, graph):
    n = 3
    run = %agent run $graph who="dear {name.upper()}" rows=$rows --thread t-{len(rows)} --steps $n
    return run
start('Cy', [1, 2], g).result(5)
"""
    assert ready.run_cell(cell).success

    assert ("dear CY", [1, 2]) == tuple(state_of(ready, "t-2")[name] for name in ("who", "rows"))


@pytest.mark.parametrize("word", ["letter-$nobody", "letter-{nobody}", "'a$nobody'", "{1/0}"])
def test_an_id_that_still_holds_a_variable_is_refused(ready, capsys, word):
    """No thread comes to be under a name that nobody meant."""
    said = error_of(ready, capsys, f"%agent run g who=Ada --thread {word}")

    assert "stands for nothing here" in said
    assert "Traceback" not in said
    assert 0 == len(ready.run_cell("%agent threads").result)


def test_doubled_signs_mean_the_character(ready):
    """As IPython has it."""
    call = '%agent run g who="$$who {{who}}" --thread cost-$$who-{{x}}'
    ready.run_cell(f"r = {call}\nr.result(5)")

    assert "$who {who}" == state_of(ready, "cost-$who-{x}")["who"]


@pytest.mark.parametrize(
    "text", ["It costs $5", "Dear {nobody}", 'a {"a": 1} b', "if x: {return}", "$nobody owes"]
)
def test_a_text_keeps_what_stands_for_nothing(ready, text):
    """Only names of things are refused; a text may hold anything."""
    ready.run_cell(f"r = %agent run g who='{text}' --thread t\nr.result(5)")

    assert text == state_of(ready, "t")["who"]


def test_a_value_that_is_no_variable_says_so(ready, capsys):
    """With the nearest name."""
    said = error_of(ready, capsys, "subject = 1\n%agent run g who=$subjet --thread t")

    assert "there is no variable 'subjet' here (did you mean 'subject'?)" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("# my graph\n%%graph h\n" + BODY, "not the first line of its cell"),
        ("\n# my graph\n\n  %%graph h\n" + BODY, "not the first line of its cell"),
        ("import os\n%%graph h\n" + BODY, "not the first line of its cell"),
        ("%%graph class\n" + BODY, "'class' cannot be a variable's name (it is a word of Python)"),
        ("%%graph State\n" + BODY, "graph and state class are both named 'State'"),
        ("%%graph greet\n" + BODY, "graph and node are both named 'greet'"),
        ("%%graph node\n" + BODY, "'node' is what nbagent calls something else"),
        ("%%graph h\n" + BODY.replace("who: str", "who str"), "this is not Python: invalid syntax"),
        ("%%graph h\n  x = 1\n" + BODY, "this is not Python"),
    ],
)
def test_a_cell_that_begins_wrongly_gets_a_sentence(shell, capsys, cell, said):
    """And nothing of it has run: the words of a cell are what they were."""
    shell.run_cell("%%graph g --quiet\n" + BODY)
    shown = error_of(shell, capsys, cell)

    assert said in shown
    assert "nbagent/" not in shown
    assert shell.run_cell("%%graph g --quiet\n" + BODY).success


@pytest.mark.parametrize("above", ["", "\n", "   ", "\n \n   "])
def test_an_indented_cell_is_taken_as_it_is_meant(shell, above):
    """Blank lines and an indent above, and an indent of all."""
    indent = above.rpartition("\n")[2]
    body = "".join(f"{indent}{line}\n" for line in BODY.splitlines())

    assert shell.run_cell(f"{above}%%graph g --quiet\n{body}").success
    assert shell.run_cell("g.run({'who': 'Ada'}, 't')").success


def test_a_mistake_is_told_at_the_line_that_the_page_shows(shell, capsys):
    """The magic's own line is the first, and blank lines count."""
    said = error_of(shell, capsys, "%%graph h\n\n" + BODY.replace(">> greet", ">> gret"))

    assert "line 11" in said
