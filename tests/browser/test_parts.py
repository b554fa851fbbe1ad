"""Each part of the view, with fixed data: as it was drawn, and for everybody. (C3, W10)"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import SECONDS_PER_WAIT
from tests.browser.lab import CHROMIUM_ARGUMENTS
from tests.browser.parts import PARTS, Part
from tests.browser.parts import page as page_of
from tests.browser.test_access import AXE, RULES
from tests.conftest import require

STORED = Path(__file__).with_name("pictures")
WIDTHS = (1400, 800, 390)
THEMES = ("light", "dark")
COLOURS = 24  # of a stored picture: small files, and no noise of smoothed edges
DIFFERENT = 60  # of 255, from which a pixel is another one
SHARE = 0.004  # of the pixels may be others: letters are drawn a little differently elsewhere
TALLER = 0.04  # and the picture so much taller or lower


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all parts."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGUMENTS))
        yield made
        made.close()


def shown(page: Page, part: Part, theme: str) -> list[str]:
    """Show a part and do what a person does in it; what the console complained of."""
    said: list[str] = []
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_default_timeout(SECONDS_PER_WAIT * 1000)
    page.set_content(page_of(part, theme))
    page.wait_for_function("window.ready")
    for step in part.steps:
        if len(step) == 1 or step.startswith("Arrow"):
            page.locator("#root").press(step)
        else:
            page.evaluate(step)
        page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r, 30)))")
    page.evaluate("() => document.fonts.ready")
    page.evaluate("() => document.activeElement?.blur?.()")
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r, 60)))")
    return said


def picture(page: Page) -> Image.Image:
    """What is on the page, in few colours."""
    taken = Image.open(io.BytesIO(page.locator("#root").screenshot()))
    return taken.convert("RGB")


def differing(a: Image.Image, b: Image.Image) -> float:
    """The share of pixels that are others; 1.0 where one is of another size."""
    if a.width != b.width or abs(a.height - b.height) > TALLER * b.height:
        return 1.0
    size = (a.width, min(a.height, b.height))
    both = ImageChops.difference(a.crop((0, 0, *size)), b.crop((0, 0, *size))).convert("L")
    return sum(both.histogram()[DIFFERENT:]) / (size[0] * size[1])


@pytest.mark.parametrize("name", PARTS)
def test_a_part_looks_as_it_was_drawn(name: str, browser: Browser) -> None:
    """Both themes, a wide cell, a narrow one and a phone; nothing wider than its cell, no error.

    NBAGENT_PICTURES=store keeps what is there now as what is to be.
    """
    STORED.mkdir(exist_ok=True)
    wrong = []
    for theme in THEMES:
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            assert [] == shown(page, PARTS[name](), theme)
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            taken, path = picture(page), STORED / f"{name}-{width}-{theme}.png"
            page.close()
            if os.environ.get("NBAGENT_PICTURES") == "store" or not path.exists():
                taken.quantize(COLOURS).save(path, optimize=True)
                continue
            share = differing(taken, Image.open(path).convert("RGB"))
            if share > SHARE:
                taken.save(path.with_suffix(".now.png"))
                wrong.append(f"{path.name}: {share:.3f}")
    assert not wrong, f"{wrong}; what is there now is in {STORED}/*.now.png"


def test_a_column_that_shifts_is_noticed(browser: Browser) -> None:
    """The tolerance is smaller than that, or the pictures would hold nothing."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    shown(page, PARTS["timeline"](), "light")
    before = picture(page)
    assert 0.0 == differing(picture(page), before)
    page.add_style_tag(content=".nba-root .nba-tl { --cols: 30% minmax(0, 1fr) 74px 60px 58px; }")
    after = picture(page)
    page.close()

    assert SHARE < differing(after, before)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_accessible(name: str, theme: str, browser: Browser) -> None:
    """WCAG 2.1 A and AA, with the colours of each theme."""
    found = str(AXE) if AXE.exists() else None
    require("axe-core", "axe-core (cd tests/js && npm ci)", found=found)
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    shown(page, PARTS[name](), theme)
    page.add_script_tag(path=AXE)
    # A name says more than what is seen: the count beside a node's name is no label of it.
    but = {"label-content-name-mismatch": {"enabled": False}}
    result = page.evaluate(
        "([tags, rules]) => axe.run('#root', {runOnly: tags, rules})", [RULES, but]
    )
    page.close()
    said = [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][-200:]}"
        for one in result["violations"]
        for node in one["nodes"][:3]
    ]

    assert not said, "\n".join(said)


def test_no_text_is_smaller_than_eleven_pixels(browser: Browser) -> None:
    """Anywhere, and the graph's names too, however large the graph."""
    smallest = """() => [...document.querySelectorAll('#root *')]
      .filter((one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
        && one.getClientRects().length && getComputedStyle(one).visibility !== 'hidden')
      .map((one) => {
        const drawn = one.closest('svg.nba-g');
        const box = drawn?.viewBox.baseVal;
        const scale = drawn ? drawn.getBoundingClientRect().width / box.width : 1;
        return [parseFloat(getComputedStyle(one).fontSize) * scale, one.textContent.slice(0, 30)];
      }).sort((a, b) => a[0] - b[0])[0]"""
    for name, made in PARTS.items():
        page = browser.new_page(viewport={"width": 800, "height": 900})
        shown(page, made(), "light")
        size, text = page.evaluate(smallest)
        page.close()
        assert 10.99 <= size, (name, text)


def test_a_stream_of_two_thousand_pieces_a_second_is_joined_and_followed(browser: Browser) -> None:
    """One text node a card; its end in sight until somebody scrolls up, and again with Follow."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    shown(page, PARTS["running"](), "light")
    page.evaluate("""async () => {
      const one = (at, text) => ({ node: "draft", name: "draft", since: 1899999993.6, ended: 0,
        step: 3, status: "running", pieces: at, prose: true, at, text });
      let at = given.values.snapshot.streams["3/draft"].text.length;
      window.longest = 0;
      let last = performance.now(), isOver = false;
      const tick = (now) => {
        longest = Math.max(longest, now - last);
        last = now;
        if (!isOver) requestAnimationFrame(tick);
      };
      requestAnimationFrame((now) => { last = now; requestAnimationFrame(tick) });
      for (let patch = 0; patch < 40; patch++) {
        const text = Array.from({ length: 100 }, (_, n) => `word${patch * 100 + n} `).join("");
        tell({ type: "patch", patch: { streams: { "3/draft": one(at, text) } } });
        at += text.length;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      isOver = true;
    }""")
    log = page.get_by_label("what draft says")
    at_end = "(e) => e.scrollHeight - e.scrollTop - e.clientHeight < 40"
    texts = "(e) => [...e.childNodes].filter((one) => one.nodeType === 3).length"
    assert "word3999" in log.inner_text()
    assert 1 == log.evaluate(texts)
    assert log.evaluate(at_end)
    log.hover()
    page.mouse.wheel(0, -400)
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_be_visible()
    assert not log.evaluate(at_end)
    follow.click()
    assert log.evaluate(at_end)
    page.close()


def test_without_colours_and_motion_and_from_right_to_left(browser: Browser) -> None:
    """Forced colours keep every sign and word; nothing moves where that is not wanted; a page that
    is read from the right is no wider than its cell."""
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    shown(page, PARTS["failed"](), "light")
    expect(page.locator(".nba-pill svg path").first).to_be_visible()
    moving = "() => document.getAnimations().filter((one) => one.playState === 'running').length"
    assert 0 == page.evaluate(moving)
    page.evaluate("() => { document.documentElement.dir = 'rtl' }")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.close()
