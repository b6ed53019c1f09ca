from dataclasses import replace
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from freqfast.report.labels import place_labels
from freqfast.report.study_figures import by_family, clean_against_robust
from freqfast.runs.recipe import Recipe
from freqfast.study import Arm, ArmSummary, Estimate, Study


def made_up(count, half_width=0.003):
    """A study of some arms in a crowd, and its summaries."""
    names = ["baseline", *(f"arm-{i}" for i in range(1, count))]
    study = Study("Made up", "", "baseline", tuple(Arm(name, Recipe(name), (0, 1, 2)) for name in names))
    summaries = []
    for i, name in enumerate(names):
        clean, robust = 0.86 - 0.002 * (i % 5), 0.64 + 0.004 * i + 0.02 * (i % 3)
        means = {"clean": Estimate(clean, half_width, 3), "mean15": Estimate(robust, half_width, 3)}
        summaries.append(ArmSummary(name, "", (0, 1, 2), means, {}, 1.0))
    return study, summaries


def drawn_boxes(figure):
    """Each text that the figure draws, without its line to a point, and its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [*figure.axes[0].texts, *figure.texts]
    return {text.get_text(): Text.get_window_extent(text, canvas.get_renderer()) for text in texts}


@pytest.mark.parametrize(("count", "half_width"), [(1, None), (8, 0.001), (23, 0.003)])
def test_labels_do_not_overlap_and_stay_inside_and_those_of_many_arms_are_numbers_of_a_legend(count, half_width):
    study, summaries = made_up(count, half_width)
    figure = clean_against_robust(study, summaries)
    (axes,) = figure.axes
    names = [summary.arm for summary in summaries]
    numbers = [str(i + 1) for i in range(count)] if count > 8 else []
    assert [text.get_text() for text in axes.texts] == (numbers or names)
    assert tuple(axes.texts[0].xy) == pytest.approx((86, 64))
    assert [container.lines[0].get_marker() for container in axes.containers] == ["s", *"o" * (count - 1)]
    boxes = drawn_boxes(figure)
    labels = [boxes[text.get_text()] for text in axes.texts]
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for a, b in combinations(labels, 2))
    points = [axes.transData.transform(text.xy) for text in axes.texts]
    for box in labels:
        assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1
        assert not any(box.padded(-1).contains(x, y) for x, y in points)
    legend = [f"{number}  {name}" for number, name in zip(numbers, names, strict=False)]
    assert [text.get_text() for text in figure.texts[1:]] == legend
    for box in (boxes[line] for line in legend):
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 < axes.bbox.y0


def test_a_distant_label_has_a_line_to_its_point():
    figure = Figure(figsize=(4, 4), dpi=100)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8), xlim=(0, 1), ylim=(0, 1))
    near, *_ = place_labels(axes, [(0.5, 0.5)], ["here"], [], 8)
    assert near.arrow_patch is None
    (far,) = place_labels(axes, [(0.5, 0.5)], ["there"], [Bbox.from_extents(0.4, 0.4, 0.6, 0.6)], 8)
    assert far.arrow_patch is not None


def test_intervals_of_two_seeds_keep_the_axes_within_0_to_100():
    study, summaries = made_up(3, half_width=0.9)
    wide = [replace(s, means={**s.means, "noise": Estimate(0.5, 1.2, 2)}) for s in summaries]
    (robust,), (noise,) = clean_against_robust(study, wide).axes, by_family(study, wide).axes
    for low, high in (robust.get_xlim(), robust.get_ylim(), noise.get_xlim()):
        assert 0 <= low < high <= 100


def test_the_target_is_shaded_from_the_baseline():
    study, summaries = made_up(3)
    figure = clean_against_robust(replace(study, target={"clean": -0.005, "mean15": 0.13}), summaries)
    (patch,) = figure.axes[0].patches
    assert (patch.get_x(), patch.get_y()) == pytest.approx((85.5, 77))
    assert patch.get_y() < figure.axes[0].get_ylim()[1]
    assert "+13 at -0.5 or better" in [text.get_text() for text in figure.axes[0].texts]
    assert clean_against_robust(study, summaries).axes[0].patches[:] == []


def test_intervals_are_those_of_their_axis():
    study, (summary,) = made_up(1)
    means = {"clean": Estimate(0.86, 0.001, 3), "mean15": Estimate(0.64, 0.02, 3)}
    figure = clean_against_robust(study, [replace(summary, means=means)])
    across, up = (lines.get_segments()[0].tolist() for lines in figure.axes[0].containers[0].lines[2])
    assert (across, up) == (
        [pytest.approx((85.9, 64)), pytest.approx((86.1, 64))],
        [pytest.approx((86, 62)), pytest.approx((86, 66))],
    )


def test_arms_without_the_measure_are_left_out():
    study, summaries = made_up(3)
    bare = replace(summaries[1], means={"clean": Estimate(0.8, None, 1)})
    figure = clean_against_robust(study, [summaries[0], bare])
    assert [text.get_text() for text in figure.axes[0].texts] == ["baseline"]
    with pytest.raises(ValueError, match="no arm has clean accuracy and mean15"):
        clean_against_robust(study, [bare])


def test_titles_are_not_typeset_as_formulas():
    study, summaries = made_up(2)
    study = replace(study, title=(title := r"$\frac{$ and $\frac{$"))  # no formula: typesetting it would fail
    families = [replace(s, means={**s.means, "noise": Estimate(0.5, None, 1)}) for s in summaries]
    for figure in (clean_against_robust(study, summaries), by_family(study, families)):
        FigureCanvasAgg(figure).draw()
        titles = [figure._suptitle, *(axes.title for axes in figure.axes)]
        assert [text.get_parse_math() for text in titles if text and text.get_text() == title] == [False]


@pytest.mark.parametrize("measures", [("noise",), ("noise", "blur", "weather", "digital")])
@pytest.mark.parametrize("draw", [clean_against_robust, by_family])
def test_a_long_title_has_lines_of_its_own(draw, measures):
    study, summaries = made_up(2)
    values = dict.fromkeys(measures, Estimate(0.5, None, 1))
    summaries = [replace(s, means={**s.means, **values}) for s in summaries]
    long = replace(study, title="Is equalizing contrast alone as good as the whole spectrum of each image? " * 2)
    shown = [draw(study, summaries), draw(long, summaries)]
    for figure in shown:
        FigureCanvasAgg(figure).draw()
    usual, panel = (figure.axes[0].get_window_extent() for figure in shown)
    title = shown[1]._suptitle.get_window_extent()
    assert 0 <= title.x0 < title.x1 <= shown[1].bbox.x1
    assert panel.y1 < title.y0 < title.y1 <= shown[1].bbox.y1
    assert panel.height == pytest.approx(usual.height, abs=0.1 * shown[1].dpi)


def test_accuracy_by_family():
    study, summaries = made_up(3)
    first, second, bare = (
        replace(s, means={**s.means, "noise": Estimate(0.5 + 0.1 * i, 0.02, 3), "mean_bar": Estimate(0.6, None, 1)})
        for i, s in enumerate(summaries)
    )
    bare = replace(bare, means={"clean": Estimate(0.8, None, 1)})
    figure = by_family(study, [first, second, bare])
    noise, bar = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["noise", "CIFAR-10-C-bar"]
    assert [text.get_text() for text in noise.get_yticklabels()] == ["baseline", "arm-1"]
    assert [container.lines[0].get_xydata().tolist() for container in noise.containers] == [
        [[pytest.approx(50), 0]], [[pytest.approx(60), 1]],
    ]  # fmt: skip
    assert [container.lines[0].get_marker() for container in noise.containers] == ["s", "o"]
    (low, _), (high, _) = noise.containers[1].lines[2][0].get_segments()[0]
    assert (low, high) == pytest.approx((58, 62))
    assert noise.get_ylim() == (1.5, -0.5)  # the first arm on top
    assert [line.get_xdata()[0] for line in noise.lines if line.get_linestyle() == "--"] == pytest.approx([50])
    assert not any(container.lines[2] for container in bar.containers)  # one seed has no interval
    with pytest.raises(ValueError, match="no arm has accuracies by family"):
        by_family(study, [bare])


def test_labels_avoid_the_note_on_the_target():
    study, (baseline, other) = made_up(2)
    arms = {"clean": Estimate(0.866, 0.002, 3), "mean15": Estimate(0.797, 0.006, 3)}
    long = replace(other, arm="antialiasing-equalization-shaping", means=arms)
    figure = clean_against_robust(replace(study, target={"clean": -0.005, "mean15": 0.13}), [baseline, long])
    boxes = drawn_boxes(figure)
    assert not boxes["+13 at -0.5 or better"].overlaps(boxes[long.arm])
