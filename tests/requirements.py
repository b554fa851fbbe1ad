"""
Writes which tests prove which requirement into tests/REQUIREMENTS.md.

    python3 tests/requirements.py            write it anew
    python3 tests/requirements.py --check    1, and what to do, if it is not what it should be

A test names what it proves in its docstring, as in `(R6, W1)` or `(R20 to R24)`, in its own name
(`test_w22_…`), or in a comment of its own; a file or a class, in its docstring, for all the tests
in it. The requirements themselves stand in REQUIREMENTS.md and nowhere else. Standard library only.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = ROOT / "tests" / "REQUIREMENTS.md"
SUITES = ("nbagent/testing/contract.py",)
"""Tests that ship with the package, and are run by a subclass in tests/."""

ONE = r"[RCW]\d+"
TAG = re.compile(rf"\(({ONE}(?: to {ONE})?(?:, {ONE}(?: to {ONE})?)*)\)")
IN_A_NAME = re.compile(r"(?<=_)[rcw]\d+(?=_|$)")
CLAIM = re.compile(rf"^- \*\*({ONE})\*\* .*$", re.MULTILINE)
NOT_YET = " (not there yet)"
"""How a claim ends that nobody has made true so far; the first test that proves it takes it off."""
PROOF = re.compile(r"^  - .*\n?", re.MULTILINE)


def tagged(text: str) -> list[str]:
    """The numbers in the tags of a text, `R5 to R7` spelled out."""
    found = []
    for tag in TAG.findall(text):
        for part in tag.split(", "):
            first, _, last = part.partition(" to ")
            numbers = range(int(first[1:]), int((last or first)[1:]) + 1)
            found += [f"{first[0]}{number}" for number in numbers]
    return found


def in_python(path: Path) -> Iterator[tuple[str, str]]:
    """(number, test) for each tag of a Python file; the test "" is all of the file's."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = text.splitlines()
    for number in tagged(ast.get_docstring(tree) or ""):
        yield number, ""
    for part in ast.walk(tree):
        if isinstance(part, ast.ClassDef):
            for number in tagged(ast.get_docstring(part) or ""):
                yield number, part.name
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not part.name.startswith("test"):
                continue
            own = [line for line in lines[part.lineno : part.end_lineno]]
            comments = "\n".join(line for line in own if line.lstrip().startswith("#"))
            said = f"{ast.get_docstring(part) or ''}\n{comments}"
            named = [number.upper() for number in IN_A_NAME.findall(part.name)]
            for number in [*tagged(said), *named]:
                yield number, part.name


def in_javascript(path: Path) -> Iterator[tuple[str, str]]:
    """(number, title) for each tag in the title of a test of node's runner."""
    text = path.read_text(encoding="utf-8")
    for title in re.findall(r"^\s*(?:test|it)\(\s*\"([^\"]*)\"", text, re.MULTILINE):
        for number in tagged(title):
            yield number, f'"{TAG.sub("", title).strip()}"'


def proofs() -> dict[str, dict[str, list[str]]]:
    """number -> file, below tests/ -> its tests."""
    found: dict[str, dict[str, list[str]]] = {}
    folder = ROOT / "tests"
    python = [*folder.rglob("test_*.py"), *(ROOT / suite for suite in SUITES)]
    scripts = [path for path in folder.rglob("*.test.js") if "node_modules" not in path.parts]
    for path in sorted([*python, *scripts]):
        name = path.relative_to(folder if folder in path.parents else ROOT).as_posix()
        for number, test in (in_python if path.suffix == ".py" else in_javascript)(path):
            tests = found.setdefault(number, {}).setdefault(name, [])
            if test not in tests:
                tests.append(test)
    return found


def rendered(text: str, found: dict[str, dict[str, list[str]]]) -> str:
    """`text` with the tests below each claim; what stood there before goes."""

    def with_proofs(claim: re.Match[str]) -> str:
        proved = claim[1] in found
        lines = [claim[0].removesuffix(NOT_YET) if proved else claim[0]]
        for file, tests in sorted(found.get(claim[1], {}).items()):
            named = ", ".join(f"`{test}`" if test else "the whole file" for test in tests)
            lines.append(f"  - {file}: {named}")
        return "\n".join(lines)

    return CLAIM.sub(with_proofs, PROOF.sub("", text))


def main() -> int:
    """Write REQUIREMENTS.md, or check it; what is wrong goes to standard error."""
    text = TEXT.read_text(encoding="utf-8")
    fresh = rendered(text, proofs())
    if "--check" not in sys.argv[1:]:
        TEXT.write_text(fresh, encoding="utf-8")
    elif fresh != text:
        print("tests/REQUIREMENTS.md is stale: run python3 tests/requirements.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
