"""What the figures of spectra show, read back from their axes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from freqfast.analysis.colours import band_colour, run_style
from freqfast.report.spectra_figures import (
    DB_PER_NEPER,
    decibel_profile,
    learned_gains,
    power_profile,
    proportion_history,
)
from freqfast.spectra import measure_spectra
from freqfast.spectral.modulation import apply_modulation, gain_frequencies
from tests.support.figures import LONG, NASTY, check_texts_inside, drawn, units
from tests.support.finished import growing, history_of


@pytest.fixture
def spectra():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 12, 3)
    history = history_of(growing(conv.weight.detach()))
    return measure_spectra(conv, history=history, target={"low": 0.5, "high": 0.5})


def layer():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 12, 3))


@pytest.fixture
def modulated():
    model = apply_modulation(layer())
    torch.nn.init.normal_(model[0].log_gain)
    return measure_spectra(model)


def test_profile_is_in_decibels_over_a_white_layer(spectra, modulated):
    figure = power_profile({"plain": spectra, NASTY: modulated})
    (axes,) = figure.axes
    curve = drawn(axes, run_style(0)["color"])[0]
    whole, radius = spectra.power.sum(0, dtype=float), np.hypot(*np.meshgrid(spectra.frequencies, spectra.frequencies))
    rings = np.arange(24) / 32
    np.testing.assert_allclose(curve.get_xdata(), [*rings[:-1], np.hypot(0.5, 0.5)])  # up to the corner
    for rho, level in zip(rings, curve.get_ydata(), strict=True):
        ring = (radius > rho - 1 / 64) & (radius <= rho + 1 / 64)
        assert level == pytest.approx(10 * np.log10(whole[ring].mean() / whole.mean()), abs=1e-4)
    _, without_gains = drawn(axes, run_style(1)["color"])
    _, expected = decibel_profile(measure_spectra(layer()).power)
    np.testing.assert_allclose(without_gains.get_ydata(), expected, atol=1e-3)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", NASTY]
    assert units(figure) == {"radial frequency (cycles/pixel)", "mean power (dB; white = 0)"}


def test_proportions_by_epoch(spectra):
    figure = proportion_history({"a": spectra, "b": spectra})
    axes = figure.axes[0]
    for b, name in enumerate(spectra.bands.names):
        energy, count, target = drawn(axes, band_colour(name, b))
        np.testing.assert_allclose(count.get_ydata(), 100 * (spectra.band_index == b).mean())
        np.testing.assert_allclose(energy.get_ydata(), 100 * spectra.energy_proportion[b], rtol=1e-5)
        np.testing.assert_array_equal(count.get_xdata(), [0, 1, 2])
        assert set(target.get_ydata()) == {50.0}
    assert units(figure) == {"epoch", "share (%)"}


def test_the_legend_has_the_colours_of_runs_of_other_bands(spectra):
    torch.manual_seed(0)
    four = measure_spectra(torch.nn.Conv2d(3, 12, 3), bands=4)
    history = replace(spectra.history, shares=np.stack([four.shares] * 3))
    figure = proportion_history({"two": spectra, "four": replace(four, history=history)})
    shown = {text.get_text(): line for text, line in zip(figure.legends[0].texts, figure.legends[0].get_lines())}
    for bands in (spectra.bands, four.bands):
        for b, name in enumerate(bands.names):
            assert to_hex(shown[name].get_color()) == band_colour(name, b)


def test_proportions_need_a_history(modulated):
    with pytest.raises(ValueError, match="no spectra by epoch; train with a SpectrumRecorder"):
        proportion_history({"a": modulated})


def test_gains_are_in_decibels(modulated, spectra):
    plane, _, _ = learned_gains(modulated).axes
    gain = DB_PER_NEPER * modulated.log_gain
    np.testing.assert_allclose(np.asarray(plane.images[0].get_array()), gain.mean(0), rtol=1e-5)
    with pytest.raises(ValueError, match="has no learned gains; train with SpectralModulation"):
        learned_gains(spectra)


@pytest.mark.parametrize(("size", "per_filter"), [((3, 3), True), ((4, 4), True), ((2, 5), False)])
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


def test_texts_stay_on_the_figure(spectra, modulated):
    check_texts_inside(power_profile({LONG: spectra, f"{LONG}2": modulated}))
    check_texts_inside(proportion_history({LONG: spectra, f"{LONG}2": spectra}))
    check_texts_inside(learned_gains(modulated, "a run of a rather long name"))


def test_a_profile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no spectra, so there is nothing to draw"):
        power_profile({})
