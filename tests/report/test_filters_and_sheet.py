import io

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image
from torch import nn

from freqfast.bands import Bands
from freqfast.corruptions import EXTRA, FAMILIES, corrupt
from freqfast.report import band_colour, contact_sheet, filter_grid, most_colourful
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
    grey = np.full((4, 8, 8, 3), 90, np.uint8)
    grey[1, :4] = 250  # contrast is no colour
    grey[2, :4, :, 0] = 250
    grey[3] = (20, 200, 20)
    assert most_colourful(grey) == 2
    assert most_colourful(grey, count=2) in (0, 1)
