"""Each requirement is proved by a test that says so, and the map of them is what the tests say."""

from __future__ import annotations

import ast
import importlib.util
import pydoc
import re
from pathlib import Path

import pytest

import nbagent
import nbagent.testing

spec = importlib.util.spec_from_file_location(
    "nbagent_requirements", Path(__file__).with_name("requirements.py")
)
assert spec and spec.loader
requirements = importlib.util.module_from_spec(spec)
spec.loader.exec_module(requirements)

TEXT = requirements.TEXT.read_text(encoding="utf-8")
NUMBER = r"\([^()]*\b[RCW]\d+\b[^()]*\)"
FOUND = requirements.proofs()
CLAIMS = {claim[1]: claim[0] for claim in requirements.CLAIM.finditer(TEXT)}


def test_the_map_is_fresh() -> None:
    """Otherwise: python3 tests/requirements.py."""
    assert requirements.rendered(TEXT, FOUND) == TEXT


def test_the_requirements_are_numbered_without_a_gap() -> None:
    for letter in "RCW":
        numbers = [int(claim[1:]) for claim in CLAIMS if claim[0] == letter]
        assert list(range(1, len(numbers) + 1)) == numbers
    assert len(CLAIMS) > 80


def test_help_has_no_numbers() -> None:
    """They are for those who work on nbagent: who asks for help on a public name, or on what it
    gives, reads none. In a module's docstring and in comments they may stand."""
    public = [nbagent, nbagent.errors, nbagent.testing]
    named = (getattr(nbagent, name) for name in nbagent.__all__)
    public += [thing for thing in named if not isinstance(thing, str)]
    said = [pydoc.plain(pydoc.render_doc(thing)) for thing in public]
    parts = [
        ast.get_docstring(part) or ""
        for path in (requirements.ROOT / "nbagent").rglob("*.py")
        for part in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(part, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    ]

    assert len(parts) > 500
    assert [] == [match[0] for text in (*said, *parts) for match in re.finditer(NUMBER, text)]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_requirement_has_a_test(claim: str) -> None:
    """Write its number into the docstring of the test that would fail without it; what nobody has
    made true so far says so."""
    assert bool(FOUND.get(claim)) != CLAIMS[claim].endswith(requirements.NOT_YET)


def test_a_tag_names_a_requirement_that_there_is() -> None:
    assert [] == sorted(set(FOUND) - set(CLAIMS))


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ("It holds. (R6, W1)", ["R6", "W1"]),
        ("All of it. (R20 to R22, W4)", ["R20", "R21", "R22", "W4"]),
        ("Not one: R6, (see R6), (R6 and more).", []),
    ],
)
def test_how_a_tag_is_read(said: str, numbers: list[str]) -> None:
    assert numbers == requirements.tagged(said)


def test_where_a_tag_may_stand(tmp_path: Path) -> None:
    """In the docstring of a file, a class or a test, in a test's comment and in its name."""
    path = tmp_path / "test_it.py"
    path.write_text(
        '"""All. (R1)"""\n'
        'class TestIt:\n    """Each. (R2)"""\n'
        '    def test_a(self):\n        """This. (R3)"""\n        # (R4)\n        pass\n'
        "def test_w5_b():\n    pass\n"
        'def helper():\n    """None. (R6)"""\n'
    )

    assert {
        ("R1", ""),
        ("R2", "TestIt"),
        ("R3", "test_a"),
        ("R4", "test_a"),
        ("W5", "test_w5_b"),
    } == set(requirements.in_python(path))


def test_what_is_no_longer_proved_leaves_the_map_and_what_is_now_comes() -> None:
    text = "- **R1** One\n  - old.py: `test_gone`\n- **R2** Two (not there yet)\n"

    assert "- **R1** One\n- **R2** Two\n  - new.py: `test_a`\n" == requirements.rendered(
        text, {"R2": {"new.py": ["test_a"]}}
    )
