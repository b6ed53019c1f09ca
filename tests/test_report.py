import io

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch import nn

from freqfast.bands import Bands
from freqfast.report import band_colour, filter_grid
from freqfast.spectra import measure_spectra


@pytest.fixture
def spectra():
    torch.manual_seed(0)
    return measure_spectra(nn.Conv2d(3, 12, 3))


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.images]


def test_draws_each_filter_above_its_spectrum(spectra):
    figure = filter_grid(spectra, columns=12)
    pictures = [np.asarray(axes.images[0].get_array()) for axes in shown(figure) if axes.get_title()]
    powers = [np.asarray(axes.images[0].get_array()) for axes in shown(figure) if not axes.get_title()]
    assert len(pictures) == len(powers) == 12
    order = np.concatenate([np.flatnonzero(spectra.classes == b) for b in range(2)])
    titles = [axes.get_title() for axes in shown(figure) if axes.get_title()]
    assert sorted(int(title.split(":")[0]) for title in titles) == sorted(order.tolist())
    first = int(titles[0].split(":")[0])
    kernel = spectra.weight[first].transpose(1, 2, 0)
    np.testing.assert_allclose(pictures[0], 0.5 + 0.5 * kernel / abs(kernel).max(), atol=1e-6)
    expected = 10 * np.log10(spectra.power[first] / spectra.power[first].max())
    np.testing.assert_allclose(powers[0], np.maximum(expected, -120), atol=1e-3)


def test_orders_by_band_then_purity_and_frames_in_the_band_s_colour(spectra):
    axes = [a for a in shown(filter_grid(spectra, columns=12)) if a.get_title()]
    filters = [int(a.get_title().split(":")[0]) for a in axes]
    bands = spectra.classes[filters]
    assert (np.diff(bands) >= 0).all()
    for band in range(2):
        shares = spectra.shares[filters, band][bands == band]
        assert (np.diff(shares) <= 0).all()
    for a, band in zip(axes, bands, strict=True):
        assert to_hex(a.spines["left"].get_edgecolor()) == band_colour(spectra.bands.names[band], band)


def test_usual_bands_keep_their_colours():
    two, three = Bands.equal_area(2), Bands.equal_area(3)
    colours = [{n: band_colour(n, i) for i, n in enumerate(b.names)} for b in (two, three)]
    assert colours[0]["low"] == colours[1]["low"]
    assert colours[0]["high"] == colours[1]["high"]
    assert len(set(colours[1].values())) == 3


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_saves_in_every_format_for_any_number_of_channels(channels, kind):
    file = io.BytesIO()
    filter_grid(measure_spectra(nn.Conv2d(channels, 3, 5)), columns=2).savefig(file, format=kind)
    assert len(file.getvalue()) > 2000


def test_zero_filters_and_empty_bands_draw():
    conv = nn.Conv2d(3, 4, 3)
    nn.init.zeros_(conv.weight)
    figure = filter_grid(measure_spectra(conv), columns=4)
    assert all(np.isfinite(np.asarray(a.images[0].get_array())).all() for a in shown(figure))
