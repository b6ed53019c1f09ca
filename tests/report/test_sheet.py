import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from freqfast.corruptions import EXTRA, FAMILIES, SEVERITIES, corrupt
from freqfast.report.sheet import contact_sheet, most_colourful

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


def test_rows_are_corruptions_and_columns_severities_after_the_clean_image(sheet, picture):
    few = contact_sheet(picture, ["contrast", "fog", "contrast"], [5, 1, 5])
    for figure, names, severities, seed, index in (
        (sheet, FROSTLESS, SEVERITIES, 3, 7),
        (few, ["fog", "contrast"], (1, 5), 0, 0),
    ):
        rows = [[corrupt(picture[None], name, s, seed, index=[index])[0] for s in severities] for name in names]
        expected = [image for row in rows for image in (picture, *row)]
        np.testing.assert_array_equal([image for image, _, _ in cells(figure)], expected)


def test_cells_stand_in_rows_from_left_to_right_without_overlap(sheet):
    places = np.array([(x, y) for _, x, y in cells(sheet)]).reshape(18, 6, 2)
    assert (places[:, :, 1] == places[:, :1, 1]).all()
    assert (np.diff(places[:, :, 0], axis=1) > 24 * 5).all()
    assert len({tuple(place) for place in places.reshape(-1, 2)}) == 18 * 6
    width, height = sheet.get_size_inches() * sheet.dpi
    assert (places >= 0).all()
    assert (places[..., 0] + 24 * 5 < width).all()
    assert (places[..., 1] + 16 * 5 < height).all()


def test_rows_are_labelled_and_those_beyond_mean15_in_italics(sheet, picture):
    for figure, names, beyond in (
        (sheet, FROSTLESS, set(EXTRA)),
        (contact_sheet(picture, ["fog", "ripple"], [1]), ["fog", "ripple"], {"ripple"}),
        (contact_sheet(picture, ["fog"], [1]), ["fog"], set()),
    ):
        texts = {text.get_text().replace("\n", "_"): text for text in figure.axes[0].texts}
        assert {name for name in names if texts[name].get_style() == "italic"} == beyond
        assert ("in italics: not in mean15" in texts) == bool(beyond)
    assert {*FROSTLESS, *FAMILIES} <= {text.get_text().replace("\n", "_") for text in sheet.axes[0].texts}
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


def test_most_colourful():
    grey = np.full((101, 8, 8, 3), 90, np.uint8)
    grey[1, :4] = 250  # contrast is no colour
    grey[2, :4, :, 0] = 250
    grey[3] = (20, 200, 20)
    grey[100, :4] = (0, 255, 0)  # beyond the first hundred
    assert most_colourful(grey) == 2
