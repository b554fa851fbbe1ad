"""Values that show themselves in a notebook do so in a view and in saved pictures. (C3)"""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbagent.notebook.shown.preview import preview, short
from nbagent.notebook.view.picture import _value as in_a_picture

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"


class Shows:
    """Shows itself by one method."""

    def __init__(self, method, result):
        self.asked = 0

        def answer(*_, **__):
            self.asked += 1
            if isinstance(result, Exception):
                raise result
            return result

        type(self)  # each has a class of its own: that is where methods are looked for
        self.__class__ = type("Shows", (Shows,), {method: answer})


@pytest.fixture
def shell():
    """A shell whose formatters can be taught."""
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    yield made
    made.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("method", "result", "kind"),
    [
        ("_repr_png_", PNG, "image/png"),
        ("_repr_png_", (PNG, {"width": 3}), "image/png"),
        ("_repr_svg_", SVG, "image/svg+xml"),
        ("_repr_mimebundle_", {"image/svg+xml": SVG, "text/plain": "x"}, "image/svg+xml"),
        ("_repr_mimebundle_", ({"image/png": base64.b64encode(PNG).decode()}, {}), "image/png"),
    ],
)
def test_a_picture_is_shown_as_one(method, result, kind):
    """By its own method or its bundle, with metadata or without; also inside a list."""
    for shown in (preview(Shows(method, result)), preview([Shows(method, result)])["items"][0][1]):
        assert "image" == shown["kind"]
        assert shown["src"].startswith(f"data:{kind};base64,")
        assert base64.b64decode(shown["src"].partition(",")[2]) in (PNG, SVG.encode())
        assert "<img src=" in in_a_picture(shown)


def test_a_document_is_shown_in_a_sandbox():
    """In the page as well as in a saved picture; nothing of it stands outside."""
    shown = preview(Shows("_repr_html_", "<b>hello</b><script>alert(1)</script>\"'></iframe>"))
    saved = in_a_picture(shown)

    assert "html" == shown["kind"]
    assert '<iframe sandbox="" ' in saved
    assert "<script>" not in saved
    assert 1 == saved.count("</iframe>")
    assert "default-src" in saved


def test_a_formula_is_drawn_or_told():
    """LaTeX as the notebook would draw it, where it can be drawn without running LaTeX."""
    shown = preview(Shows("_repr_latex_", r"$\displaystyle x^{2} + 1$"))
    broken = preview(Shows("_repr_latex_", r"$\nonsense{x}$"))

    assert "x^{2}" in shown["text"]
    assert shown["kind"] in ("image", "text")
    assert ("text", r"$\nonsense{x}$") == (broken["kind"], broken["text"])


def test_what_a_notebook_was_taught_of_a_type_counts(shell):
    """As matplotlib teaches it to show figures."""

    class Figure:
        pass

    shell.display_formatter.formatters["image/png"].for_type(Figure, lambda figure: PNG)

    assert "image" == preview(Figure())["kind"]
    assert short(Figure()).startswith("<tests.notebook.widgets")  # one line costs no picture


def test_a_dataclass_with_a_look_of_its_own_shows_it():
    """And one without shows its fields."""

    @dataclasses.dataclass
    class Chart:
        rows: int

        def _repr_html_(self):
            return f"<b>{self.rows}</b>"

    @dataclasses.dataclass
    class Plain:
        rows: int

    assert "<b>3</b>" == preview(Chart(3))["html"]
    assert [["rows", 3]] == [[k, int(v["text"])] for k, v in preview(Plain(3))["items"]]


@pytest.mark.parametrize("method", ["_repr_png_", "_repr_html_", "_repr_mimebundle_"])
@pytest.mark.parametrize("result", [ValueError("no"), None, 3, "", {}])
def test_a_look_that_fails_is_none(shell, capsys, method, result):
    """The value is its repr then, and nothing is printed into whatever cell runs."""
    value = Shows(method, result)
    shown = preview(value)

    assert "other" == shown["kind"]
    assert 1 == value.asked
    assert json.dumps(shown)
    assert ("", "") == capsys.readouterr()


def test_what_displays_itself_is_not_displayed():
    """A view only asks for looks."""
    value = Shows("_ipython_display_", None)

    assert "other" == preview(value)["kind"]
    assert 0 == value.asked
