import io
from itertools import product

import numpy as np
import pytest
from matplotlib.colors import to_hex

from freqfast.analysis.colours import run_style
from freqfast.corruptions import C_BAR, CORRUPTIONS, EXTRA, MAIN, SEVERITIES
from freqfast.report.robustness_figures import accuracy_by_severity, clean_against_mean15
from freqfast.robustness import CLEAN
from tests.support.figures import NASTY
from tests.support.finished import measured


def result(names, shift=0.0, severities=SEVERITIES, clean=True):
    cells = {(name, s): 0.8 - 0.1 * s + shift for name, s in product(names, severities)}
    return measured({CLEAN: 0.9} | cells if clean else cells, images=50)


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.axison}


def test_points_and_intervals_are_those_of_the_result():
    found = result(["fog", "snow"], severities=(5, 1, 3))
    figure = accuracy_by_severity({"mine": found})
    assert list(panels(figure)) == ["snow", "fog"]  # in the order of the benchmark's tables
    axes = panels(figure)["fog"]
    curve, clean = axes.lines
    np.testing.assert_allclose(curve.get_xydata(), [[s, 100 * found.accuracy["fog"][s]] for s in (1, 3, 5)])
    assert set(clean.get_ydata()) == {90}
    corners = axes.collections[0].get_paths()[0].vertices
    for s in (1, 3, 5):
        low, high = found.outcomes["fog", s].interval
        at = corners[corners[:, 0] == s, 1]
        assert (at.min(), at.max()) == pytest.approx((100 * low, 100 * high))
    assert not figure.legends  # one run needs none


def test_every_run_has_its_line_where_it_was_measured():
    figure = accuracy_by_severity({"a": result(["fog"], clean=False), "b": result(["fog", "snow"], 0.1, clean=False)})
    colours = {name: [to_hex(line.get_color()) for line in axes.lines] for name, axes in panels(figure).items()}
    first, second = (run_style(i)["color"] for i in (0, 1))
    assert colours == {"snow": [second], "fog": [first, second]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_a_row_for_each_family_and_all_that_was_measured():
    figure = accuracy_by_severity(
        {"a": result(["fog"]), "b": result([*CORRUPTIONS, *C_BAR, "my_own"], severities=(1, 3))}
    )
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels == ["noise", "blur", "weather", "digital", "C-bar", "C-bar", "own"]
    assert len(panels(figure)) == 30
    slanted = {name for name, axes in panels(figure).items() if axes._left_title.get_style() == "italic"}
    beyond = {name.replace("_", " ") for name in (*EXTRA, *C_BAR, "my_own")}
    assert {name.replace("\n", "") for name in slanted} == beyond  # not in mean15
    lowest = [axes.get_title(loc="left") for axes in figure.axes if axes.get_xlabel() == "severity"]
    assert len(lowest) == 5
    assert "my own" in lowest


def test_names_are_text_and_no_formulas():
    name = r"$\frac{$ run $\frac{$"
    for results in ({name: result(["fog", name])}, {name: result([name]), "b": result(["fog"], clean=False)}):
        accuracy_by_severity(results).savefig(file := io.BytesIO(), format="png")
        assert file.getvalue().startswith(b"\x89PNG")


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no run measured a corruption"):
        accuracy_by_severity({"a": result([])})


def test_runs_as_points():
    results = {"a": result(MAIN), NASTY: result(MAIN, -0.1), "clean only": result([])}
    (axes,) = clean_against_mean15(results).axes
    points = [container.lines[0].get_xydata() for container in axes.containers]
    np.testing.assert_allclose(points, [[[90, 50]], [[90, 40]]])
    across, up = (np.array(lines.get_segments()[0]) for lines in axes.containers[0].lines[2])
    clean, mean15 = results["a"].outcomes[CLEAN].interval, results["a"].interval(MAIN)
    np.testing.assert_allclose(across, [[100 * end, 50] for end in clean])
    np.testing.assert_allclose(up, [[90, 100 * end] for end in mean15])
    with pytest.raises(ValueError, match="nothing to draw"):
        clean_against_mean15({"a": result(["fog"])})
