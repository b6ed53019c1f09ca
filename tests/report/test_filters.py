import io
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image
from torch import nn

from freqfast.analysis.colours import band_colour
from freqfast.report import filter_grid
from freqfast.spectra import measure_spectra


@pytest.fixture(scope="module")
def spectra():
    torch.manual_seed(0)
    return measure_spectra(nn.Conv2d(3, 17, 3))


@pytest.fixture(scope="module")
def grid(spectra):
    return filter_grid(spectra)


def pairs(figure):
    """The axes of the filters and of their spectra, with the filters' numbers."""
    *shown, _ = figure.axes  # and the bar of colours
    kernels, powers = shown[::2], shown[1::2]
    return kernels, powers, [int(axes.get_title(loc="left").split(":")[0]) for axes in kernels]


def test_each_filter_stands_beside_its_spectrum(spectra, grid):
    kernels, powers, numbers = pairs(grid)
    assert sorted(numbers) == list(range(17))
    shares = [100 * spectra.shares[number, spectra.band_index[number]] for number in numbers]
    assert [axes.get_title(loc="left").partition(": ")[2] for axes in kernels] == [f"{share:.0f} %" for share in shares]
    for kernel, power, number in zip(kernels, powers, numbers, strict=True):
        weight = spectra.weight[number].transpose(1, 2, 0)
        picture = np.asarray(kernel.images[0].get_array())
        np.testing.assert_allclose(picture, 0.5 + 0.5 * weight / abs(weight).max(), atol=1e-6)
        expected = 10 * np.log10(spectra.power[number] / spectra.power[number].max())
        np.testing.assert_allclose(np.asarray(power.images[0].get_array()), np.maximum(expected, -120), atol=1e-3)
        left, right = kernel.get_position(), power.get_position()
        assert left.y0 == pytest.approx(right.y0)
        assert 0 < right.x0 - left.x1 < 0.1 * left.width


def test_filters_are_ordered_by_band_and_purity_and_framed_in_its_colour(spectra, grid):
    kernels, powers, filters = pairs(grid)
    bands = spectra.band_index[filters]
    assert (np.diff(bands) >= 0).all()
    for band in range(2):
        shares = spectra.shares[filters, band][bands == band]
        assert (np.diff(shares) <= 0).all()
    for a, band in zip((*kernels, *powers), (*bands, *bands), strict=True):
        assert to_hex(a.spines["left"].get_edgecolor()) == band_colour(spectra.bands.names[band], band)


def test_three_columns_fit_a_column_of_a_paper_and_no_axes_overlap(spectra, grid):
    for figure, inches in ((grid, 6.88), (filter_grid(spectra, columns=3), 3.5)):
        assert figure.get_size_inches()[0] == pytest.approx(inches)
        boxes = [axes.get_position() for axes in figure.axes]
        assert all(box.x0 > 0 and box.y0 > 0 and box.x1 < 1 and box.y1 < 1 for box in boxes)
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_headings_say_when_only_some_filters_of_a_band_are_drawn(spectra):
    figure = filter_grid(spectra, columns=2, rows=1)
    assert len(pairs(figure)[2]) == 4
    texts = [text.get_text() for text in figure.texts]
    for band, name in enumerate(spectra.bands.names):
        assert f"{name}: {(spectra.band_index == band).sum()} of 17 filters, the 2 purest" in texts


def test_notebooks_show_figures(grid):
    """IPython asks an object for its picture by this method."""
    with Image.open(io.BytesIO(grid._repr_png_())) as image:
        assert image.format == "PNG"
        assert image.width == 688


def test_zero_filters_and_empty_bands():
    conv = nn.Conv2d(4, 4, 3)  # of no colours
    nn.init.zeros_(conv.weight)
    figure = filter_grid(measure_spectra(conv), columns=4)
    kernels, powers, _ = pairs(figure)
    assert all(np.isfinite(np.asarray(axes.images[0].get_array())).all() for axes in (*kernels, *powers))
    assert "The mean of each kernel's 4 channels" in " ".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize(("name", "count"), [("columns", 0), ("rows", 0), ("rows", -1)])
def test_no_columns_or_rows_are_refused(name, count):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {count}"):
        filter_grid(measure_spectra(nn.Conv2d(3, 4, 3)), **{name: count})
