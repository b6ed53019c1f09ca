"""Colours of bands and runs: different for every reader, and the same in every figure."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from freqfast.analysis.colours import band_colour, run_style


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
def test_runs_stand_out_from_a_white_and_a_black_page(colour):
    shade, light, dark = (linear(c) @ (0.2126, 0.7152, 0.0722) + 0.05 for c in (colour, "#ffffff", "#15171b"))
    assert min(light / shade, shade / dark) >= 2.9  # WCAG asks 3 of graphics
