"""The report page in headless Chromium: `pytest -m slow tests/report/test_browser.py`.

Leaves pictures of the whole page, narrow to wide, light and dark, in the folder that FREQFAST_PICTURES names.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from freqfast.report import write_page
from tests.support.finished import image_results

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (320, 768, 1440)
SCHEMES = ("light", "dark")
CONTRAST = 4.5  # WCAG 2.2, level AA, of text

# What lies beyond the page's right edge without being in a box that scrolls.
OVERFLOWING = """() => [...document.querySelectorAll("body *")].filter(e =>
    e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, pre")).map(e => e.outerHTML)"""
# Images that were not drawn, or whose shape is not their own.
BROKEN = """() => [...document.images].filter(i => !i.complete || !i.naturalWidth ||
    Math.abs(i.width / i.height - i.naturalWidth / i.naturalHeight) > 0.02).map(i => i.alt)"""
# Boxes that are narrower than what they hold, and whether they scroll.
SCROLLING = """() => [...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth).map(e => {
    e.scrollLeft = 50; const moved = e.scrollLeft > 0; e.scrollLeft = 0; return [e.ariaLabel, moved]; })"""
# Colours of each kind of text, and of the ground.
COLOURS = """() => [...document.querySelectorAll("p, h1, h2, td, th, .interval, .caution, figcaption, summary, code")]
    .map(e => getComputedStyle(e).color).concat(getComputedStyle(document.body).backgroundColor)"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium, or name it in CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(make_run, tmp_path_factory):
    """A page of three runs with all that a page can show."""
    runs = [
        make_run("baseline", analyses=image_results()),
        make_run("a_run_whose_name_is_long_but_without_any_space", analyses=image_results(), seed=1),
        make_run("modulated", modulation=True, epochs=3),
    ]
    output = tmp_path_factory.mktemp("page") / "report.html"
    write_page(output, runs)
    return output.as_uri()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=lambda p: f"{p[0]}-{p[1]}")
def visited(request, browser, address):
    """The open page, with what it asked the network for and what it complained of."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or complaints.append(asked.url))
    page.goto(address)
    yield page, width, scheme, complaints
    context.close()


def luminance(colour):
    """Relative luminance of ``rgb(r, g, b)`` by WCAG 2.2."""
    part = np.array([float(c) for c in colour.removeprefix("rgb(").removesuffix(")").split(",")]) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_the_page_fits_its_window_and_needs_nothing_else(visited):
    page, width, _, complaints = visited
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(BROKEN) == []
    assert complaints == []


def test_what_is_too_wide_scrolls_in_its_box(visited):
    page, width, _, _ = visited
    for summary in page.locator("summary").all():
        summary.click()
    boxes = page.evaluate(SCROLLING)
    assert all(moved for _, moved in boxes), boxes
    if width == 320:
        assert {"What differs", "Results", "Accuracy by corruption", "Accuracy by corruption and severity"} <= {
            label for label, _ in boxes
        }


def test_figures_fill_two_columns_of_a_wide_window(visited):
    page, width, _, _ = visited
    left = page.evaluate("[...document.querySelectorAll('figure.wide')].map(e => e.getBoundingClientRect().left)")
    assert len(set(map(round, left))) == (2 if width == 1440 else 1)


def test_text_stands_out_from_the_ground_in_both_themes(visited):
    page, _, scheme, _ = visited
    *texts, ground = page.evaluate(COLOURS)
    dark = luminance(ground)
    assert dark < 0.05 if scheme == "dark" else dark > 0.9
    for colour in set(texts):
        low, high = sorted((luminance(colour), dark))
        assert (high + 0.05) / (low + 0.05) >= CONTRAST, colour


def test_figures_follow_the_theme(visited, tmp_path):
    page, width, scheme, _ = visited
    folder = Path(os.environ.get("FREQFAST_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"report-{width}-{scheme}.png", full_page=True)
    picture = tmp_path / "figure.png"
    page.locator("figure img").first.screenshot(path=picture)
    with Image.open(picture) as image:
        grey = np.asarray(image.convert("L")).astype(int)
    ground = int(np.median(grey))  # the figure's ground is the page's
    assert ground < 40 if scheme == "dark" else ground > 240
    assert abs(grey - ground).max() > 150  # and its text stands out


def test_a_reader_without_scripts_or_styles_has_all_words(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    tree = page.locator("body").aria_snapshot()
    assert tree.count("- table") >= 2
    for words in ("What differs", "Results", "mean15", "filters of conv1", "No command is recorded"):
        assert words in tree
    context.close()
