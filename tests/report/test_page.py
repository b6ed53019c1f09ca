import base64
import json
import re
from dataclasses import replace
from itertools import product
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.models.classifier import Classifier
from freqfast.report import page_figures
from freqfast.report.entries import load_entries, unique_labels
from freqfast.report.inline import inline_figure
from freqfast.report.page import render_page, write_page
from freqfast.robustness import CLEAN, CorruptionResult, Provenance
from freqfast.runs.run import load_run
from freqfast.spectra import measure_spectra
from freqfast.spectra.h5 import write_spectra
from tests.support.parsed_page import Page


@pytest.fixture(scope="module")
def text(make_run):
    """A page of three runs with all that a page can show; the second has a hostile name."""
    runs = [
        make_run("base", analyses=True),
        make_run("<script>alert(1) $x^2$ & 'co'", analyses=True, seed=1, description="<b>bold</b>"),
        make_run("modulated", modulation=True, epochs=3),
    ]
    return render_page(load_entries(runs))


def test_the_page_is_sound_and_needs_nothing_else(text):
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


def test_hostile_names_are_text(text):
    page = Page(text)
    assert "<script>alert(1) $x^2$ & 'co'" in page.text
    assert "<b>bold</b>" in page.text


def test_tables_scroll_in_boxes_that_the_keyboard_reaches(text):
    page = Page(text)
    boxes = [a for tag, a in page.elements if a.get("class") == "scroll"]
    assert len(boxes) >= len(page.all("table")) == 3
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in boxes)
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))


def test_every_figure_has_a_text_alternative_and_its_size(text):
    images = Page(text).all("img")
    for image in images:
        assert len(image["alt"]) > 20
        assert int(image["width"]) > 200
        assert int(image["height"]) > 100
    alternatives = " ".join(image["alt"] for image in images)
    for words in ("mean15", "dB at 0", "after training", "power gains from", "filters of conv1", "mean error",
                  "without low filters", "variance entropy", "below 0.20 cycles/pixel"):  # fmt: skip
        assert words in alternatives


def test_images_follow_the_theme_and_are_sound(text):
    for image in Page(text).all("img"):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        svg = base64.b64decode(data).decode()
        ElementTree.fromstring(svg)
        assert "prefers-color-scheme:dark" in svg
        assert "currentColor" in svg
        assert "#123457" not in svg
        assert not re.search(r'(?:href|src)="(?!#|data:)', svg)


def test_the_same_figure_gives_the_same_image():
    def draw():
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1], label="x")
        return figure

    first, again = inline_figure(draw), inline_figure(draw)
    assert first == again
    assert (first.width, first.height) == (192, 96)


def test_numbers_intervals_and_differences(make_run, measured, no_figures):
    cells = list(product(MAIN, SEVERITIES))
    one = make_run("one", result=measured({CLEAN: 0.9, **dict.fromkeys(cells, 0.5)}))
    better = {CLEAN: 0.8, **dict.fromkeys(cells, 0.75)}
    two, same = make_run("two", result=measured(better, images_crc32=1)), make_run("same", result=measured(better))
    words = re.sub(r"\s+", " ", Page(render_page(load_entries([one, two, same]))).text)
    assert "one 90.0 88.0 to 91.7 50.0 46.9 to 53.1 not measured" in words
    assert "two 80.0 77.4 to 82.4 −10.0 −13.1 to −6.9 75.0 72.3 to 77.7 +25.0 +20.9 to +29.1" in words  # noqa: RUF001
    assert "same 80.0 77.4 to 82.4 −10.0 −11.9 to −8.1 75.0 72.3 to 77.7 +25.0 +22.3 to +27.7" in words  # noqa: RUF001
    assert "measured on 1,000 images" in words
    assert "The differences of same are paired, image by image." in words
    assert "two have unpaired intervals" in words
    assert "One seed each: the intervals are over test images, not over trainings. For claims" in words


def test_corruptions_beyond_the_benchmark_are_shown(make_run, measured):
    result = measured({CLEAN: 0.8, ("my_own", 1): 0.1, ("ripple", 1): 0.25, ("ripple", 2): 0.75, ("fog", 1): 0.6})
    page = Page(render_page(load_entries([make_run("a", result=result)])))
    words = re.sub(r"\s+", " ", page.text)
    assert "corruption a fog 60.0 ripple 50.0 my own 10.0" in words
    assert any("from 10.0 % on my_own to 60.0 % on fog" in image["alt"] for image in page.all("img"))


def test_a_single_run_has_no_differences(make_run, no_figures):
    words = Page(render_page(load_entries([make_run("lone")]))).text
    assert "Run lone" in words
    assert "difference" not in words.lower()
    assert "seed each" not in words


def test_what_keeps_runs_from_being_compared_is_said(make_run, no_figures):
    runs = [make_run("a"), make_run("b", epochs=5, width=16), make_run("c", seed=1)]
    words = Page(render_page(load_entries(runs))).text
    assert "b and a differ in width, epochs" in words
    assert "c and a differ" not in words
    assert "One seed only of b: " in words


@pytest.mark.parametrize(
    ("low", "high", "caution", "differ"),
    [
        ([0], [0], "One seed each: ", False),
        ([0], [1], "One seed each: ", True),
        ([0, 1], [2], "One seed only of high2: ", True),
        ([0, 1], [0, 1], None, False),
        ([0, 1], [], None, False),
    ],
)
def test_recipes_of_one_seed_are_told(make_run, no_figures, low, high, caution, differ):
    runs = [make_run(f"low{seed}", seed=seed, description=f"run {seed}") for seed in low]
    runs += [make_run(f"high{seed}", seed=seed, lr=0.1) for seed in high]
    words = Page(render_page(load_entries(runs))).text
    assert caution is None or caution in words
    assert ("over trainings" in words) == (caution is not None)
    assert ("Not all recipes have the same seeds" in words) == differ


def test_unsound_files_are_named(make_run):
    run = make_run("a")
    sound = json.loads((run / "report.json").read_text())
    for fault in ({"accuracy": {"fog": {"1": "much"}}}, {"accuracy": 5}, {"seconds": {"fit": "long"}}, {"mean15": 2}):
        (run / "report.json").write_text(json.dumps(sound | fault))
        with pytest.raises(ValueError, match=r"report.json is not sound"):
            load_entries([run])
    (run / "report.json").write_text(json.dumps(sound))
    (run / "evaluation.json").write_text("{}")
    with pytest.raises(ValueError, match=r"evaluation.json is not a sound result"):
        load_entries([run])
    with pytest.raises(ValueError, match="name at least one run"):
        load_entries([])


def test_outcomes_that_are_missing_are_named_with_the_command_that_writes_them(make_run):
    run = make_run("a b")
    (run / "evaluation.json").unlink()
    command = f"freqfast evaluate '{run}' --on-the-fly --out '{run}/evaluation.json'"
    with pytest.raises(FileNotFoundError, match=re.escape(f"evaluation.json is missing; `{command}` writes it")):
        load_entries([run])
    held_out = make_run("held", holdout=5)
    (held_out / "evaluation.json").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"holds out; `freqfast rerun {held_out}` repeats it")):
        load_entries([held_out])


@pytest.mark.parametrize("modulation", [False, True])
def test_outcomes_of_another_model_are_refused(make_run, modulation):
    path = make_run("a", modulation=modulation)
    run = load_run(path)
    model = Classifier(run.model, run.stored.mean, run.stored.std)
    made = Provenance("a", model.weights_sha256, model.mean, model.std, "float32", "c", None, 0, (0, 9), "0", (CLEAN,))
    found = CorruptionResult.load(path / "evaluation.json")
    replace(found, provenance=made).save(path / "evaluation.json")
    assert load_entries([path])[0].result.provenance == made
    replace(found, provenance=replace(made, weights_sha256="0")).save(path / "evaluation.json")
    with pytest.raises(ValueError, match=r"evaluation\.json is of another model than the run's; make it again with"):
        load_entries([path])


def test_a_run_without_spectra_has_a_page(make_run):
    run = make_run("a")
    (run / "spectra.h5").unlink()
    assert "Filters of the first layer" not in render_page(load_entries([run]))


def test_progress_and_an_output_that_appears_whole(make_run, tmp_path):
    told = []
    output = tmp_path / "page.html"
    write_page([make_run("a")], output, progress=lambda *args: told.append(args))
    assert [done for done, _, _ in told] == list(range(1, told[0][1] + 1))
    assert output.read_text(encoding="utf-8").endswith("</html>\n")
    assert not list(tmp_path.glob(".page*"))


def test_labels_are_the_shortest_that_differ(tmp_path):
    paths = [tmp_path / "x" / "a", tmp_path / "y" / "a", tmp_path / "y" / "b"]
    assert unique_labels(paths) == ["x/a", "y/a", "y/b"]
    assert unique_labels(paths[1:]) == ["a", "b"]
    with pytest.raises(ValueError, match="is named twice; name each run once"):
        unique_labels([paths[0], tmp_path / "y" / ".." / "x" / "a"])


def test_captions_say_on_how_many_images(make_run):
    entries = load_entries([make_run("a", analyses=True), make_run("b", analyses=True)])

    def captions():
        return {figure.title: figure.caption for figure in page_figures.page_figures(entries)}

    found = captions()
    for title in ("Fourier heat map", "Frequency reliance", "Band ablation"):
        assert found[title].endswith(". On 9 images.")
    assert found["Filter quality"].endswith(" 2204.02481).")
    more = {kind: replace(one, images=1234) for kind, one in entries[1].analyses.items() if kind != "quality"}
    entries[1] = replace(entries[1], analyses=more)
    assert captions()["Frequency reliance"].endswith(" on whole images. On 9 images (a), 1,234 images (b).")


@pytest.mark.parametrize("kind", ["heatmap", "reliance"])
def test_analyses_show_the_bands_of_the_runs(make_run, kind, monkeypatch):
    run = make_run("a", analyses=True)
    write_spectra(run / "spectra.h5", measure_spectra(load_run(run).model, bands=3))
    drawn = []
    *told, _ = page_figures._ANALYSES[kind]
    shown = (*told, lambda found, bands: drawn.append(bands) or Figure())
    monkeypatch.setitem(page_figures._ANALYSES, kind, shown)
    render_page(load_entries([run]))
    assert {bands.names for bands in drawn} == {("low", "mid", "high")}
