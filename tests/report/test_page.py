"""The report page: its markup, words, numbers, figures and commands."""

import base64
import html
import re
from dataclasses import replace
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from torch import nn

from freqfast.analysis import find_analysis
from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.report.entries import load_entries
from freqfast.report.inline import inline_figure
from freqfast.report.page import render_page, write_page
from freqfast.report.page_figures import page_figures
from freqfast.robustness import CLEAN, CorruptionResult, Provenance
from freqfast.spectra import measure_spectra
from freqfast.spectral.modulation import apply_modulation
from tests.support.finished import image_results, measured
from tests.support.parsed_page import Page


def words_of(text):
    """The words of a page, a space between them."""
    return re.sub(r"\s+", " ", Page(text).text)


@pytest.fixture(scope="module")
def progress():
    """What was told as the page was made."""
    return []


@pytest.fixture(scope="module")
def text(make_run, progress):
    """A page of two runs with all that a page can show; the second has a hostile name."""
    hostile = {"seed": 1, "description": "<b>bold</b>", "modulation": True, "epochs": 3}
    runs = [
        make_run("base", analyses=image_results()),
        make_run("<script>alert(1) $x^2$ & 'co'", analyses=image_results(1), **hostile),
    ]
    return render_page(load_entries(runs), progress=lambda *told: progress.append(told[:2]))


def test_the_page_is_valid_and_needs_nothing_else(text):
    page = Page(text)
    assert text.startswith('<!doctype html>\n<html lang="en">')
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "b"}
    assert "<script" not in text.lower()
    for attributes in (attributes for _, attributes in page.elements):
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "url(" not in text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {a["aria-labelledby"] for a in page.all("section")} == set(ids)
    assert len(page.all("h1")) == 1
    assert "default-src 'none'" in next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert "<script>alert(1) $x^2$ & 'co'" in page.text  # a hostile name is text
    assert "<b>bold</b>" in page.text


def test_tables_scroll_in_boxes_that_the_keyboard_reaches(text):
    page = Page(text)
    boxes = [a for tag, a in page.elements if a.get("class") == "scroll"]
    assert len(boxes) >= len(page.all("table")) == 4
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in boxes)
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))


def test_figures_have_text_alternatives_and_follow_the_theme(text, progress):
    images = Page(text).all("img")
    assert progress == [(done, len(images)) for done in range(1, len(images) + 1)]
    for image in images:
        assert len(image["alt"]) > 20
        assert int(image["width"]) > 200
        assert int(image["height"]) > 100
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        svg = base64.b64decode(data).decode()
        ElementTree.fromstring(svg)
        assert "prefers-color-scheme:dark" in svg
        assert "currentColor" in svg
        assert "#123457" not in svg
        assert not re.search(r'(?:href|src)="(?!#|data:)', svg)
    alternatives = " ".join(image["alt"] for image in images)
    for words in ("mean15", "dB at 0", "after training", "power gains from", "filters of conv1", "mean error",
                  "without low filters", "variance entropy", "below 0.20 cycles/pixel"):  # fmt: skip
        assert words in alternatives


def test_text_alternatives_tell_the_numbers(entry):
    nn.init.normal_((model := apply_modulation(nn.Sequential(nn.Conv2d(3, 8, 3))))[0].log_gain)
    spectra = measure_spectra(model)
    alternatives = {figure.title: figure.alt for figure in page_figures([replace(entry, label="a", spectra=spectra)])}
    power = spectra.power.sum(0, dtype=float)
    middle, corner = 10 * np.log10(power[[16, 0], [16, 0]] / power.mean())
    told = f"a: {middle:+.1f} dB at 0, {corner:+.1f} dB at 0.7 cycles/pixel."
    assert alternatives["Power by radial frequency"] == told
    gain = 10 * np.log10(np.exp(spectra.log_gain))
    told = f"a: power gains from {gain.min():+.1f} to {gain.max():+.1f} dB, {gain.mean():+.1f} on average."
    assert alternatives["Learned gains of a"] == told
    low, high = (100 * (spectra.band_index == band).mean() for band in (0, 1))
    assert alternatives["Filters of a"] == f"a: 8 filters of 0, {low:.0f} % low, {high:.0f} % high"


def test_the_same_figure_gives_the_same_image():
    def draw():
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1], label="x")
        return figure

    first, again = inline_figure(draw), inline_figure(draw)
    assert first == again
    assert (first.width, first.height) == (192, 96)


def test_numbers_intervals_and_differences(variant, no_figures):
    cells = list(product(MAIN, SEVERITIES))
    better = {CLEAN: 0.8, **dict.fromkeys(cells, 0.75)}
    results = {
        "one": measured({CLEAN: 0.9, **dict.fromkeys(cells, 0.5)}),
        "two": (two := measured(better, images_crc32=1)),
        "same": (same := measured(better)),
        "mixed": CorruptionResult(two.outcomes | {CLEAN: same.outcomes[CLEAN]}),
    }
    words = words_of(render_page([variant(label, result) for label, result in results.items()]))
    assert "one 90.0 88.0 to 91.7 50.0 46.9 to 53.1 50.0 46.9 to 53.1" in words
    assert "not measured" not in words  # mean19, which none has, is left out
    same = "same: +25.0 points in mean15 (95 %: +22.3 to +27.7), −10.0 points clean (95 %: −11.9 to −8.1); "  # noqa: RUF001
    lead = words.partition("Made by freqfast")[0]
    assert same in lead
    assert "differences are to one" in lead
    assert (
        "two 80.0 77.4 to 82.4 −10.0 −13.1 to −6.9 unpaired 75.0 72.3 to 77.7 +25.0 +20.9 to +29.1 unpaired" in words  # noqa: RUF001
    )
    assert "same 80.0 77.4 to 82.4 −10.0 −11.9 to −8.1 paired 75.0 72.3 to 77.7 +25.0 +22.3 to +27.7 paired" in words  # noqa: RUF001
    assert "mixed 80.0 77.4 to 82.4 −10.0 −11.9 to −8.1 paired 75.0 72.3 to 77.7 +25.0 +20.9 to +29.1 unpaired" in words  # noqa: RUF001
    assert "measured on 1,000 images" in words
    assert "Differences marked as paired are taken image by image, on the same images." in words
    assert "Unpaired differences, of different images, have the two half-widths added in quadrature." in words


def test_what_differs_follows_the_differences(variant, no_figures):
    low = {"frequency_proportion": {"proportions": {"low": 1.0}}}
    entries = [variant("plain"), variant("low", callbacks=low, seed=1)]
    differing, same = words_of(render_page(entries)).partition("What is the same in all")[::2]
    assert "setting plain low seed 0 1 frequency_proportion – on frequency_proportion.proportions.low – 1" in differing  # noqa: RUF001
    assert " epochs 2 batch_size 256 lr 0.4 " in same
    assert differing.index("Differences run clean") < differing.index("What differs setting")
    alike = words_of(render_page([variant("a"), variant("b")]))
    assert alike.index("One seed each") < alike.index("What differs No setting differs.")


def test_missing_analyses_have_the_commands_that_add_them(entry, variant, no_figures):
    some = {name: found for name, found in entry.analyses.items() if name not in ("heatmap", "reliance")}
    entries = [entry, variant("lacking", analyses=some)]
    told = "Fourier heat map of 1 of the 2 runs Frequency reliance of 1 of the 2 runs"
    assert told in words_of(render_page(entries))
    text = render_page(entries, analyse=lambda name, run: f"add {name} to {run.name}")
    assert "<code>add heatmap to whole\nadd reliance to whole</code>" in text
    assert "Analyses that are missing" not in render_page(entries[:1])


def test_corruptions_of_other_packages_are_shown(variant, no_figures):
    result = measured({CLEAN: 0.8, ("my_own", 1): 0.1, ("ripple", 1): 0.25, ("ripple", 2): 0.75, ("fog", 1): 0.6})
    assert "corruption a fog 60.0 ripple 50.0 my own 10.0" in words_of(render_page([variant("a", result)]))
    alternatives = [figure.alt for figure in page_figures([variant("a", result)])]
    assert any("from 10.0 % on my_own to 60.0 % on fog" in text for text in alternatives)


def test_a_single_run_has_no_differences(entry, no_figures):
    words = words_of(render_page([entry]))
    assert "Run whole" in words
    assert f" {100 * entry.spectra.proportion[0]:.0f} % 1.5 min Accuracy in percent" in words
    assert " digital low filters training " in words
    assert " device cpu freqfast unknown " in words  # a report of version 0.1 does not tell the version
    assert "difference" not in words.lower()
    assert "seed each" not in words


def test_a_single_run_opens_with_a_verdict_and_its_filters(entry):
    cells = dict.fromkeys(product(MAIN, SEVERITIES), 0.75)
    cells |= {("fog", severity): 0.5 for severity in SEVERITIES} | {("snow", severity): 0.6 for severity in SEVERITIES}
    text = render_page([replace(entry, result=measured({CLEAN: 0.9, **cells}))])
    words = words_of(text)
    told = "Run whole 90.0 % clean, loses 18 points under corruption; worst: fog −40, snow −30 Made by"  # noqa: RUF001
    assert told in words
    assert [
        words.index(heading) for heading in ("Filters of conv1", "Results", "Robustness", "What was run")
    ] == sorted(words.index(heading) for heading in ("Filters of conv1", "Results", "Robustness", "What was run"))
    assert "Clean accuracy against mean15" not in words
    assert text.index("Filters of whole") < text.index("Power by radial frequency")
    assert entry.run.recipe.description not in words.partition("What was run")[0]


def test_what_all_have_is_compared_where_a_mean_is_missing(variant, no_figures):
    results = [
        measured({CLEAN: 0.8, **{(name, s): right for name in ("fog", "snow") for s in SEVERITIES}})
        for right in (0.5, 0.6)
    ]
    words = words_of(render_page([variant(label, result) for label, result in zip("ab", results, strict=True)]))
    assert "b: +10.0 points under corruption (95 %: " in words
    assert "run clean all measured low filters" in words
    assert "mean15" not in words.partition("To make it again")[0]


def test_cautions_name_the_settings_in_which_runs_differ(variant, no_figures):
    other = variant("c", seed=1)
    data = replace(other.run.environment.data, sha256="1" * 64)
    other = replace(other, run=replace(other.run, environment=replace(other.run.environment, data=data, gpu="a GPU")))
    words = words_of(render_page([variant("a"), variant("b", epochs=5, test_images=5), other]))
    assert "b and a differ in epochs, test_images" in words
    assert "c and a differ" not in words
    assert "c and a were trained on different data." in words
    assert "device cpu cpu a GPU" in words


def test_runs_of_other_bands_are_told_apart(entry, no_figures):
    layer = nn.Sequential(nn.Conv2d(3, 8, 3))
    first, other = (replace(entry, label=f"{n} bands", spectra=measure_spectra(layer, bands=n)) for n in (2, 3))
    text = render_page([first, other])
    assert "3 bands and 2 bands have different bands; figures mark the first run's." in words_of(text)
    assert "<td>different bands</td>" in text
    assert "different bands" not in render_page([first, replace(first, label="again")])


def test_spectra_of_other_layers_are_told_apart(entry, no_figures):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    first, other = (replace(entry, label=f"run {n}", spectra=measure_spectra(network, n)) for n in "01")
    text = "run 1 and run 0 have spectra of different layers, 1 and 0."
    assert text in words_of(render_page([first, other]))
    assert "different layers" not in render_page([other, replace(other, label="again")])
    assert "Filters of 0 and 1" in {figure.part for figure in page_figures([first, other])}
    assert "Filters of 1" in {figure.part for figure in page_figures([other])}


@pytest.mark.parametrize(
    ("low", "high", "caution", "differ"),
    [
        ([0], [0], "One seed each: the intervals are over test images, not over trainings. For claims", False),
        ([0], [1], "One seed each: ", True),
        ([0, 1], [2], "Only one seed of high2: ", True),
        ([0, 1], [0, 1], None, False),
    ],
)
def test_cautions_name_recipes_of_one_seed(variant, no_figures, low, high, caution, differ):
    entries = [variant(f"low{seed}", seed=seed, description=f"run {seed}") for seed in low]
    entries += [variant(f"high{seed}", seed=seed, lr=0.1) for seed in high]
    words = words_of(render_page(entries))
    assert caution is None or caution in words
    assert ("over trainings" in words) == (caution is not None)
    assert ("Not all recipes have the same seeds" in words) == differ


def test_a_run_without_spectra_has_no_filters(make_run, tmp_path, monkeypatch):
    run, output = make_run("a"), tmp_path / "page.html"
    (run / "spectra.h5").unlink()
    figures = list(page_figures(load_entries([run])))
    assert {figure.part for figure in figures} == {"Robustness"}
    monkeypatch.setattr("freqfast.report.page.page_figures", lambda entries: figures[:1])
    write_page(output, [run])
    assert output.read_text(encoding="utf-8").endswith("</html>\n")
    assert not list(tmp_path.glob(".page*"))


def test_captions_give_the_number_of_images(entry, variant):
    more = entry.analyses | {"reliance": replace(entry.analyses["reliance"], images=1234)}
    captions = {figure.title: figure.caption for figure in page_figures([variant("a"), variant("b", analyses=more)])}
    assert captions["Fourier heat map"].endswith(". On 9 images.")
    assert captions["Frequency reliance"].endswith(" on whole images. On 9 images (a), 1,234 images (b).")
    assert captions["Filter quality"].endswith(" 2204.02481).")


def test_captions_tell_results_of_different_things(entry, variant):
    other = {"quality": {"layer": "conv2"}, "ablation": {"layer": "conv2"}, "heatmap": {"norm": 8.0}}
    changed = {name: replace(entry.analyses[name], **values) for name, values in other.items()}
    entries = [variant("a"), variant("b", analyses=entry.analyses | changed)]
    captions = {figure.title: figure.caption for figure in page_figures(entries)}
    for title in ("Filter quality", "Band ablation"):
        assert captions[title].endswith(" Of different layers: conv1 (a), conv2 (b).")
    assert captions["Fourier heat map"].endswith(" On 9 images. Of different L2 norms: 4.0 (a), 8.0 (b).")


def test_another_precision_of_an_evaluation_is_a_caution(entry, variant, no_figures):
    made = Provenance("a", "0", (0.5,) * 3, (0.2,) * 3, "bfloat16", "c", None, 0, (0, 9), "0", (CLEAN,))
    later = variant("later", result=replace(entry.result, provenance=made))
    caution = "later was evaluated in bfloat16, own in float32, which moves accuracies too."
    assert caution in words_of(render_page([variant("own"), later]))
    assert "was evaluated in" not in words_of(render_page([later, replace(later, label="again")]))


def test_an_evaluation_on_other_images_than_the_runs_own_is_a_caution(entry, variant, no_figures):
    made = Provenance("a", "0", (0.5,) * 3, (0.2,) * 3, "float32", "their photos", None, 0, (0, 9), "0", (CLEAN,))
    same = replace(entry.run.report, clean=entry.result.clean, accuracy=entry.result.accuracy)
    other = replace(same, clean=0.125)
    caution = "its was evaluated anew, on their photos: its own report has other figures."
    for report, expected in ((other, True), (same, False)):
        its = variant("its", result=replace(entry.result, provenance=made))
        page = words_of(render_page([replace(its, run=replace(entry.run, report=report))]))
        assert (caution in page) is expected


def test_figures_of_analyses_show_the_bands_of_the_runs(entry):
    three = replace(entry, spectra=measure_spectra(entry.run.model, bands=3))
    figures = {figure.title: figure for figure in page_figures([three])}
    for name in ("heatmap", "reliance"):
        assert figures[find_analysis(name).title].draw.args[1].names == ("low", "mid", "high")


def test_recorded_commands(make_run, no_figures):
    found = {name: image_results()[name] for name in ("heatmap", "reliance", "ablation")}
    found |= {name: replace(found[name], command=f"freqfast {name} a") for name in ("heatmap", "reliance")}
    [entry] = load_entries([make_run("a", command="freqfast run quickstart --out 'a b'", analyses=found)])
    made = Provenance("a", "0", (0.5,) * 3, (0.2,) * 3, "float32", "c", None, 0, (0, 9), "0", (CLEAN,))
    entry = replace(entry, result=replace(entry.result, provenance=made))
    text = render_page([entry], command="freqfast report a")
    code = html.unescape(re.search(r"<pre[^>]*><code>(.*?)</code></pre>", text, re.DOTALL)[1])
    assert code.splitlines() == [
        "freqfast run quickstart --out 'a b'", "freqfast heatmap a", "freqfast reliance a", "freqfast report a",
    ]  # fmt: skip
    assert (
        "No command is recorded for a (evaluation, ablation): started by a study, from Python, or by an older"
        in words_of(text)
    )
