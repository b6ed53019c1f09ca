import io
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image
from torch import nn

from freqfast.corruptions import EXTRA, FAMILIES, corrupt
from freqfast.report import band_colour, contact_sheet, filter_grid, most_colourful
from freqfast.spectra import measure_spectra
from freqfast.spectral.bands import Bands


@pytest.fixture
def spectra():
    torch.manual_seed(0)
    return measure_spectra(nn.Conv2d(3, 12, 3))


def shown(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.images]


def pairs(figure):
    """The axes of the filters and of their spectra, with the filters' numbers."""
    kernels = [axes for axes in shown(figure) if axes.get_title(loc="left")]
    powers = [axes for axes in shown(figure) if not axes.get_title(loc="left")]
    numbers = [int(axes.get_title(loc="left").split(":")[0]) for axes in kernels]
    return kernels, powers, numbers


def test_draws_each_filter_beside_its_spectrum(spectra):
    kernels, powers, numbers = pairs(filter_grid(spectra))
    assert sorted(numbers) == list(range(12))
    for kernel, power, number in zip(kernels, powers, numbers, strict=True):
        weight = spectra.weight[number].transpose(1, 2, 0)
        picture = np.asarray(kernel.images[0].get_array())
        np.testing.assert_allclose(picture, 0.5 + 0.5 * weight / abs(weight).max(), atol=1e-6)
        expected = 10 * np.log10(spectra.power[number] / spectra.power[number].max())
        np.testing.assert_allclose(np.asarray(power.images[0].get_array()), np.maximum(expected, -120), atol=1e-3)
        left, right = kernel.get_position(), power.get_position()
        assert left.y0 == pytest.approx(right.y0)
        assert 0 < right.x0 - left.x1 < 0.1 * left.width


def test_orders_by_band_then_purity_and_frames_in_the_band_s_colour(spectra):
    kernels, powers, filters = pairs(filter_grid(spectra))
    bands = spectra.classes[filters]
    assert (np.diff(bands) >= 0).all()
    for band in range(2):
        shares = spectra.shares[filters, band][bands == band]
        assert (np.diff(shares) <= 0).all()
    for a, band in zip((*kernels, *powers), (*bands, *bands), strict=True):
        assert to_hex(a.spines["left"].get_edgecolor()) == band_colour(spectra.bands.names[band], band)


@pytest.mark.parametrize(("columns", "inches"), [(3, 3.5), (6, 6.88)])
def test_three_columns_fit_a_column_of_a_paper_and_no_axes_overlap(columns, inches):
    torch.manual_seed(0)
    figure = filter_grid(measure_spectra(nn.Conv2d(3, 17, 3)), columns=columns)
    assert figure.get_size_inches()[0] == pytest.approx(inches)
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(box.x0 > 0 and box.y0 > 0 and box.x1 < 1 and box.y1 < 1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_some_rows_of_each_band_are_said_to_be_some(spectra):
    figure = filter_grid(spectra, columns=2, rows=1)
    _, _, numbers = pairs(figure)
    assert len(numbers) == 4
    texts = [text.get_text() for text in figure.texts]
    counts = [(spectra.classes == band).sum() for band in range(2)]
    for name, count in zip(spectra.bands.names, counts, strict=True):
        assert f"{name}: {count} of 12 filters, the 2 purest" in texts


def test_notebooks_show_figures(spectra):
    """IPython asks an object for its picture by this method."""
    with Image.open(io.BytesIO(filter_grid(spectra)._repr_png_())) as image:
        assert image.format == "PNG"
        assert image.width == 688


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


# The contact sheet

FROSTLESS = [name for names in FAMILIES.values() for name in names if name != "frost"]


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def sheet(picture):
    return contact_sheet(picture, FROSTLESS, seed=3, index=7)


def cells(figure):
    """Images of the sheet with their left and upper edges."""
    (axes,) = figure.axes
    return [(np.asarray(image.get_array()), *np.array(image.get_extent())[[0, 3]]) for image in axes.images]


def test_rows_are_corruptions_and_columns_severities(sheet, picture):
    shown = [image for image, _, _ in cells(sheet)]
    assert len(shown) == 18 * 6
    for row, name in enumerate(FROSTLESS):
        np.testing.assert_array_equal(shown[6 * row], picture)
        for s in range(1, 6):
            np.testing.assert_array_equal(shown[6 * row + s], corrupt(picture[None], name, s, 3, index=[7])[0])


def test_cells_stand_in_rows_from_left_to_right_without_overlap(sheet):
    places = np.array([(x, y) for _, x, y in cells(sheet)]).reshape(18, 6, 2)
    assert (places[:, :, 1] == places[:, :1, 1]).all()
    assert (np.diff(places[:, :, 0], axis=1) > 24 * 5).all()
    assert len({tuple(place) for place in places.reshape(-1, 2)}) == 18 * 6
    width, height = sheet.get_size_inches() * sheet.dpi
    assert (places >= 0).all()
    assert (places[..., 0] + 24 * 5 < width).all()
    assert (places[..., 1] + 16 * 5 < height).all()


def test_rows_are_labelled_and_extra_ones_in_italics(sheet):
    texts = {text.get_text().replace("\n", "_"): text for text in sheet.axes[0].texts}
    assert {*FROSTLESS, *FAMILIES} <= set(texts)
    assert {name for name in FROSTLESS if texts[name].get_style() == "italic"} == set(EXTRA)
    assert [text.get_text() for text in sheet.axes[0].texts].count("clean") == 4


def test_texts_overlap_nothing(sheet):
    renderer = FigureCanvasAgg(sheet).get_renderer()
    (axes,) = sheet.axes
    boxes = [item.get_window_extent(renderer) for item in (*axes.texts, *axes.images)]
    page = sheet.bbox
    for i, box in enumerate(boxes[: len(axes.texts)]):
        assert page.x0 <= box.x0 <= box.x1 <= page.x1
        assert not any(box.overlaps(other) for j, other in enumerate(boxes) if j != i), axes.texts[i].get_text()


def test_pixels_become_squares_of_whole_pixels(sheet, picture):
    file = io.BytesIO()
    sheet.savefig(file, format="png")
    saved = np.asarray(Image.open(file).convert("RGB"))
    _, left, top = cells(sheet)[0]
    left, top = round(left), round(top)
    np.testing.assert_array_equal(saved[top : top + 80, left : left + 120], picture.repeat(5, 0).repeat(5, 1))


@pytest.mark.parametrize(("names", "severities"), [(["spatter"], [2]), (["fog", "contrast", "fog"], [5, 1, 5])])
def test_parts_of_the_sheet(picture, names, severities):
    figure = contact_sheet(picture, names, severities)
    shown = [image for image, _, _ in cells(figure)]
    names, severities = sorted(set(names), key=FROSTLESS.index), sorted(set(severities))
    expected = [im for n in names for im in (picture, *(corrupt(picture[None], n, s)[0] for s in severities))]
    assert len(shown) == len(expected)
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_sheet_refuses_what_corrupt_refuses(picture):
    with pytest.raises(ValueError, match="'rain'"):
        contact_sheet(picture, ["rain"])
    with pytest.raises(ValueError, match="severity must be"):
        contact_sheet(picture, ["fog"], [6])
    with pytest.raises(ValueError, match="images must be"):
        contact_sheet(picture[..., 0], ["fog"])


def test_most_colourful():
    grey = np.full((101, 8, 8, 3), 90, np.uint8)
    grey[1, :4] = 250  # contrast is no colour
    grey[2, :4, :, 0] = 250
    grey[3] = (20, 200, 20)
    grey[100, :4] = (0, 255, 0)  # beyond the first hundred
    assert most_colourful(grey) == 2
