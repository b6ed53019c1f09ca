"""What the figures show, read back from their axes; how they look is for the eye."""

import io
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from freqfast.analysis import filter_quality, radial_profile
from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.report.analysis import ablation_dots, analysis_figure, heat_maps, quality_dots, reliance_curves
from freqfast.report.colours import band_colour, run_style
from freqfast.report.gains import DB_PER_NEPER, learned_gains
from freqfast.report.profile import power_profile, unmodulated_weight
from freqfast.report.runs import clean_against_mean15
from freqfast.report.training import proportion_history
from freqfast.robustness import CLEAN
from freqfast.spectra import measure_spectra
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation, gain_frequencies

NASTY = "_run $x^2$ <b>"


def units(figure):
    return {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label}


def drawn(axes, colour):
    return [line for line in axes.lines if to_hex(line.get_color()) == colour]


def test_profile_is_in_decibels_over_white(spectra, modulated):
    figure = power_profile({"plain": spectra, NASTY: modulated})
    (axes,) = figure.axes
    curve = drawn(axes, run_style(0)["color"])[0]
    rho, mean = radial_profile(spectra.power.sum(0))
    np.testing.assert_allclose(curve.get_xdata(), rho)
    energy = spectra.power.sum(dtype=float) / 32**2
    np.testing.assert_allclose(curve.get_ydata(), 10 * np.log10(mean / energy), atol=1e-4)
    assert len(drawn(axes, run_style(1)["color"])) == 2  # with and without its gains
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["plain", NASTY, f"{NASTY}, without its gains"]
    assert units(figure) == {"radial frequency (cycles/pixel)", "mean power (dB; white = 0)"}


@pytest.mark.parametrize("size", [3, (2, 4), 5])
@pytest.mark.parametrize("per_filter", [True, False])
def test_the_unmodulated_weight_is_the_layer_s_own(size, per_filter):
    torch.manual_seed(0)
    conv = SpectralConv2d(3, 4, size, per_filter=per_filter).double()
    with torch.no_grad():
        conv.log_gain.normal_()
        found = unmodulated_weight(conv.modulated_weight().numpy(), conv.log_gain_grid().numpy())
    np.testing.assert_allclose(found, conv.weight.detach().numpy(), atol=1e-12)


def test_proportions_by_epoch(spectra):
    figure = proportion_history({"a": spectra, "b": spectra})
    axes = figure.axes[0]
    for b, name in enumerate(spectra.bands.names):
        energy, count, target = drawn(axes, band_colour(name, b))
        np.testing.assert_allclose(count.get_ydata(), 100 * (spectra.classes == b).mean())
        np.testing.assert_allclose(energy.get_ydata(), 100 * spectra.energy_proportion[b], rtol=1e-5)
        np.testing.assert_array_equal(count.get_xdata(), [0, 1, 2])
        assert set(target.get_ydata()) == {50.0}
    assert units(figure) == {"epoch", "share (%)"}


def test_proportions_need_a_history(modulated):
    with pytest.raises(ValueError, match="no spectra by epoch; train with a SpectrumRecorder"):
        proportion_history({"a": modulated})


def test_gains_are_in_decibels(modulated, spectra):
    plane, axes, _ = learned_gains(modulated).axes
    gain = DB_PER_NEPER * modulated.log_gain
    np.testing.assert_allclose(np.asarray(plane.images[0].get_array()), gain.mean(0), rtol=1e-5)
    points = np.concatenate([line.get_ydata() for line in axes.lines if line.get_marker() == "o"])
    assert len(points) == 12 * 5  # a 3x3 kernel has five frequencies and their negatives
    distance = abs(points[:, None] - gain.ravel())
    assert max(distance.min(0).max(), distance.min(1).max()) < 1e-4
    with pytest.raises(ValueError, match="has no learned gains; train with SpectralModulation"):
        learned_gains(spectra)


@pytest.mark.parametrize("size", [(3, 3), (4, 4), (2, 2), (2, 5)])
@pytest.mark.parametrize("per_filter", [True, False])
def test_every_gain_is_drawn_once_at_its_frequency(size, per_filter):
    model = apply_modulation(torch.nn.Sequential(torch.nn.Conv2d(3, 4, size)), per_filter=per_filter)
    conv = model[0]
    with torch.no_grad():
        conv.log_gain.normal_(generator=torch.Generator().manual_seed(0))
    _, axes, _ = learned_gains(measure_spectra(model)).axes
    *rows, means = (line for line in axes.lines if line.get_marker() in ("o", "_"))
    gain, rho = DB_PER_NEPER * conv.log_gain.detach().numpy(), gain_frequencies(size).norm(dim=1).numpy()
    for row, expected in zip(rows, gain, strict=True):
        drawn_at, drawn_gain = row.get_xydata()[row.get_ydata().argsort()].T
        np.testing.assert_allclose(drawn_gain, np.sort(expected), rtol=1e-5)
        np.testing.assert_allclose(drawn_at, rho[expected.argsort()], atol=0.0121)  # filters stand side by side
    for radius, mean in means.get_xydata():
        assert mean == pytest.approx(gain[:, np.isclose(rho, radius, atol=1e-6)].mean(), rel=1e-5)


def test_heat_maps_share_a_scale_and_show_the_edge(found):
    one = found["heatmap"]
    figure = heat_maps({"a": one, "b": one, "c": one})
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 3
    for axes in maps:
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), 100 * one.error)
        assert axes.images[0].get_clim() == (0, 100 * one.error.max())
        assert axes.images[0].get_extent() == [-0.5625, 0.4375, -0.5625, 0.4375]  # frequency 0 is the middle of a pixel
        assert axes.patches[0].get_radius() == pytest.approx(0.399, abs=1e-3)
    assert "error (%), L2 norm 4" in units(figure)


def test_reliance_shows_each_filter_and_the_whole(found):
    one = found["reliance"]
    figure = reliance_curves({"a": one, NASTY: one})
    for axes, name in zip(figure.axes, ("low", "high", "band"), strict=True):
        whole, curve = drawn(axes, run_style(1)["color"])
        np.testing.assert_allclose(curve.get_ydata(), 100 * getattr(one, name))
        assert set(whole.get_ydata()) == {80.0}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", NASTY]


def test_ablation_names_what_was_removed(found):
    one = found["ablation"]
    (axes,) = ablation_dots({"a": one}).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[:3] == ["without low filters (3 of 4)", "3 of 4 at random", "without low frequencies"]
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() not in ("None", "")]
    expected = [[100 * view[b] for view in (one.filters, one.control, one.response)] for b in range(2)]
    np.testing.assert_allclose(points, np.ravel(expected))


def test_quality_shows_every_run():
    runs = {
        label: filter_quality(np.random.default_rng(i).standard_normal((4, 3, 3, 3))) for i, label in enumerate("ab")
    }
    figure = quality_dots(runs)
    for axes, field in zip(figure.axes, ("sparsity", "variance_entropy", "orthogonality"), strict=True):
        scale = 100 if field == "sparsity" else 1
        values = [line.get_xdata()[0] for line in axes.lines if line.get_marker() not in ("None", "")]
        assert values == [scale * getattr(one, field) for one in runs.values()]


def test_runs_as_points(measured):
    accuracy = {(name, s): 0.7 - 0.1 * s for name in MAIN for s in SEVERITIES}
    results = {"a": measured({CLEAN: 0.8} | accuracy), NASTY: measured({CLEAN: 0.7} | accuracy)}
    (axes,) = clean_against_mean15(results).axes
    points = [c.lines[0].get_xydata() for c in axes.containers]
    np.testing.assert_allclose(points, [[[80, 40]], [[70, 40]]])
    with pytest.raises(ValueError, match="nothing to draw"):
        clean_against_mean15({"a": measured({CLEAN: 0.5})})


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_figures_save_in_every_format(kind, found):
    file = io.BytesIO()
    analysis_figure({NASTY: found["heatmap"]}).savefig(file, format=kind)
    assert len(file.getvalue()) > 2000


def test_texts_stay_on_the_figure(spectra, modulated, found):
    long = "a_run_of_a_rather_long_name"
    figures = {
        "profile": power_profile({long: spectra, "modulated": modulated}),
        "history": proportion_history({long: spectra}),
        "gains": learned_gains(modulated, long),
        **{kind: analysis_figure({long: one, f"{long}_2": one}) for kind, one in found.items()},
        "quality": quality_dots({long: filter_quality(spectra.weight)}),
    }
    for name, figure in figures.items():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        for axes in figure.axes:
            for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels()):
                if axes.get_visible() and text.get_visible() and text.get_text():
                    box = text.get_window_extent(renderer)
                    assert box.x0 >= -1, (name, text.get_text())
                    assert box.x1 <= figure.bbox.x1 + 1, (name, text.get_text())


def test_analyses_of_several_kinds_make_no_figure(found):
    with pytest.raises(ValueError, match="one kind make a figure, got heatmap, reliance"):
        analysis_figure({"a": found["heatmap"], "b": found["reliance"]})
    with pytest.raises(ValueError, match="got none"):
        analysis_figure({})


def test_runs_differ_in_more_than_colour():
    styles = [run_style(i) for i in range(8)]
    assert len({(s["marker"]) for s in styles}) == len({s["color"] for s in styles}) == 8
    assert not {s["color"] for s in styles} & {band_colour(name, 0) for name in ("low", "mid", "high")}


# How colours look without one kind of cone (Machado, Oliveira and Fernandes, 2009): linear RGB to linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
RUNS = [run_style(i)["color"] for i in range(8)]
BANDS = [band_colour(name, 0) for name in ("low", "mid", "high")]


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(("colours", "least"), [(BANDS, 12), (RUNS[:4], 18), (RUNS, 10)])
def test_colours_differ_for_the_colour_blind(vision, colours, least):
    seen = np.clip([np.array(VISION[vision]) @ linear(colour) for colour in colours], 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    differences = [deltaE_ciede2000(a, b) for a, b in combinations(lab, 2)]
    assert min(differences) > least  # 1 is just noticeable


@pytest.mark.parametrize("colour", RUNS)
def test_runs_stand_out_from_both_grounds_of_the_page(colour):
    shade, light, dark = (linear(c) @ (0.2126, 0.7152, 0.0722) + 0.05 for c in (colour, "#ffffff", "#15171b"))
    assert min(light / shade, shade / dark) >= 2.9  # WCAG asks 3 of graphics


def test_public_names_load_and_a_colour_costs_no_torch(tmp_path):
    import freqfast.report

    assert not {path.stem for path in Path(freqfast.report.__file__).parent.iterdir()} & set(freqfast.report.__all__)
    for name in freqfast.report.__all__:
        assert getattr(freqfast.report, name).__module__.startswith("freqfast.report.")
    code = "import sys; from freqfast.report import band_colour; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
