"""What is sent to a page is one module and one sheet, made of the files in `page/`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nbagent.graph.look import COLOURS, LOOK, look
from nbagent.notebook.widgets.bundle import LOOK as LOOK_FILE
from nbagent.notebook.widgets.bundle import PAGE, module, style
from tests.conftest import require

WIDGETS = ["view/run_view", "view/threads_view", "form/state_form"]


def evaluated(text: str, tmp_path: Path, then: str = "widget.default") -> object:
    """What an expression says of a module that Node has loaded; the module is `widget`."""
    node = require("node", "Node.js (on Debian: apt-get install nodejs)")
    (tmp_path / "bundle.mjs").write_text(text, encoding="utf-8")
    code = (
        'const widget = await import("./bundle.mjs");'
        f"console.log(JSON.stringify([{then}].map((one) => one ?? null)));"
    )
    command = [node, "--input-type=module", "--eval", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    (found,) = json.loads(done.stdout)
    return found


@pytest.fixture
def page(tmp_path):
    """A copy of the page's files, to be changed, and of what they import."""
    (tmp_path / "graph").mkdir()
    shutil.copy(PAGE / LOOK_FILE, tmp_path / "graph")
    return Path(shutil.copytree(PAGE, tmp_path / "notebook" / "page"))


@pytest.mark.parametrize("name", WIDGETS)
def test_what_ships_is_a_widget(name, tmp_path):
    """Node loads it as a browser would, and finds what anywidget calls."""
    assert "function" == evaluated(module(name), tmp_path, "typeof widget.default.render")


@pytest.mark.parametrize("name", WIDGETS)
def test_a_sheet_holds_all_that_it_imports(name):
    """In one text, with every colour that it uses, and its braces are paired."""
    text = style(name)

    assert "@import" not in text
    assert text.count("{") == text.count("}")
    assert set() == set(re.findall(r"var\(--look-(\w+)", text)) - COLOURS.keys()
    defined = set(re.findall(r"--([\w-]+):", text)) | {"c"}
    used = set(re.findall(r"var\(--([\w-]+)", text))
    assert set() == {name for name in used if not name.startswith("jp-")} - defined


def test_colours_and_icons_stand_in_one_place():
    """A sheet or script that names one of its own would be a second place."""
    icons = {look(status).icon for status in LOOK["statuses"]} - {"", "–", "…", "?"}
    for file in [*PAGE.rglob("*.css"), *PAGE.rglob("*.js"), *PAGE.parents[1].rglob("*.py")]:
        text = file.read_text(encoding="utf-8")
        is_ours = {"notebook", "graph"} & set(file.relative_to(PAGE.parents[1]).parts)
        if file.name == "theme.css" or not is_ours:
            continue
        assert [] == re.findall(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b", text), file
        quoted = re.findall(r"""(["'`])([▶↻✓✕■❚]+)\1""", text)
        buttons = {"▶"} if file.name in ("slider.js", "state.js") else set()
        assert set() == ({sign for _, sign in quoted} & icons) - buttons, file


def test_two_files_may_use_one_name_for_different_things(page, tmp_path):
    """Every top-level name of every file is given to all the others, too."""
    files = sorted(page.rglob("*.js"))
    names = {
        file: set(re.findall(r"^(?:export )?(?:async )?(?:function|const|let) (\w+)", text, re.M))
        | {name.strip() for taken in re.findall(r"^import \{(.*)\}", text, re.M)
           for name in taken.split(",")}
        for file in files
        for text in [file.read_text(encoding="utf-8")]
    }  # fmt: skip
    for file in files:
        others = set().union(*names.values()) - names[file]
        added = "".join(f"function {name}() {{ throw new Error(); }}\n" for name in sorted(others))
        file.write_text(file.read_text(encoding="utf-8") + "\n" + added, encoding="utf-8")

    for name in WIDGETS:
        found = evaluated(module(name, page), tmp_path, "typeof widget.default.render")
        assert "function" == found


def test_a_module_is_run_once(page, tmp_path):
    """Whoever imports it: what it holds is shared."""
    (page / "count.js").write_text("export const held = [];\n")
    for name in "ab":
        (page / f"{name}.js").write_text(
            f'import {{ held as own }} from "./count.js";\nown.push("{name}");\n'
            "export const done = true;\n"
        )
    (page / "c.js").write_text(
        'import { done } from "./a.js";\nimport { done as b } from "./b.js";\n'
        'import { held } from "./count.js";\nexport default { all: [...held, done, b] };\n'
    )

    assert ["a", "b", True, True] == evaluated(module("c", page), tmp_path, "widget.default.all")


@pytest.mark.parametrize(
    "line",
    [
        'import dom from "./dom.js";',
        'import data from "./data.json";',
        'import * as dom from "./dom.js";',
        'import "./dom.js";',
        'export * from "./dom.js";',
        "export let held = 1;",
        "export { held };",
        'import { nothing } from "./dom.js";',
    ],
)
def test_what_a_bundle_does_not_know_is_an_error(line, page):
    """It is never left in the text for a browser to stumble over."""
    (page / "odd.js").write_text(f"{line}\nexport default {{}};\n")

    with pytest.raises(ValueError, match=r"odd\.js"):
        module("odd", page)


def test_modules_that_import_each_other_are_an_error(page):
    """No order of them would work."""
    (page / "a.js").write_text('import { b } from "./b.js";\nexport const a = 1;\n')
    (page / "b.js").write_text('import { a } from "./a.js";\nexport const b = 1;\n')

    with pytest.raises(ValueError, match="import each other"):
        module("a", page)
