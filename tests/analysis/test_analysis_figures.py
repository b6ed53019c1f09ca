"""What the figures of the analyses show, read back from their axes."""

import io

import numpy as np
import pytest

from freqfast.analysis import filter_quality, find_analysis, list_analyses
from freqfast.analysis.ablation import draw_ablation
from freqfast.analysis.colours import run_style
from freqfast.analysis.heat_map import draw_heat_maps
from freqfast.analysis.quality import draw_quality
from freqfast.analysis.reliance import draw_reliance
from freqfast.spectral.spectrum import MAX_FREQUENCY
from tests.support.figures import LONG, NASTY, check_texts_inside, drawn, units
from tests.support.finished import image_results

RESULTS = {**image_results(), "quality": filter_quality(np.ones((2, 1, 3, 3)))}
HEAT_MAP, RELIANCE, ABLATION = (RESULTS[name] for name in ("heatmap", "reliance", "ablation"))


def test_heat_maps_share_a_scale_and_show_the_edge_of_the_bands():
    one = HEAT_MAP
    figure = draw_heat_maps({"a": one, "b": one, "c": one})
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 3
    for axes in maps:
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), 100 * one.error)
        assert axes.images[0].get_clim() == (0, 100 * one.error.max())
        assert axes.images[0].get_extent() == [-0.5625, 0.4375, -0.5625, 0.4375]  # frequency 0 is the middle of a pixel
        assert axes.patches[0].get_radius() == pytest.approx(0.399, abs=1e-3)
    assert "error (%), L2 norm 4" in units(figure)


def test_reliance_curves_by_cutoff():
    one = RELIANCE
    figure = draw_reliance({"a": one, NASTY: one})
    for axes, name in zip(figure.axes, ("low", "high", "band"), strict=True):
        whole, curve = drawn(axes, run_style(1)["color"])
        np.testing.assert_allclose(curve.get_ydata(), 100 * getattr(one, name))
        assert set(whole.get_ydata()) == {80.0}
    ends = [*one.cutoffs, MAX_FREQUENCY]
    np.testing.assert_allclose(curve.get_xdata(), np.add(ends[1:], ends[:-1]) / 2)  # bands by their middles
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", NASTY]


def test_ablation_dots_with_what_was_removed():
    one = ABLATION
    (axes,) = draw_ablation({"a": one}).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[:3] == ["without low filters (3 of 4)", "3 of 4 at random", "without low frequencies"]
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() not in ("None", "")]
    expected = [[100 * view[b] for view in (one.filters, one.control, one.response)] for b in range(2)]
    np.testing.assert_allclose(points, np.ravel(expected))


def test_quality_dots_of_each_run():
    rng = np.random.default_rng(0)
    runs = {label: filter_quality(rng.standard_normal((4, 3, 3, 3))) for label in "ab"}
    figure = draw_quality(runs)
    for axes, field in zip(figure.axes, ("sparsity", "variance_entropy", "orthogonality"), strict=True):
        scale = 100 if field == "sparsity" else 1
        values = [line.get_xdata()[0] for line in axes.lines if line.get_marker() not in ("None", "")]
        assert values == [scale * getattr(one, field) for one in runs.values()]


@pytest.mark.parametrize("name", list_analyses())
def test_texts_stay_on_the_figure_and_it_is_saved_as_pdf(name):
    figure = find_analysis(name).figure({LONG: RESULTS[name], f"{LONG}2": RESULTS[name]}, None)
    check_texts_inside(figure)
    figure.savefig(file := io.BytesIO(), format="pdf")
    assert file.getvalue().startswith(b"%PDF")
