import io

import numpy as np
import pytest

from freqfast.report.robustness import robustness_figure
from freqfast.robustness import CLEAN, CorruptionReport, Outcomes


def outcomes(right, images=50):
    correct = np.arange(images) < right
    return Outcomes.measure(correct, np.full(images, 0.75), np.ones(images))


def report(names, shift=0, severities=(1, 2, 3, 4, 5), clean=True):
    cells = {(name, s): outcomes(40 - 5 * s + shift) for name in names for s in severities}
    return CorruptionReport({CLEAN: outcomes(45)} | cells if clean else cells)


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.axison}


def curves(axes):
    """Points and interval of each curve."""
    return [
        (np.array(container[0].get_xydata()), np.array(container[2][0].get_segments())) for container in axes.containers
    ]


def test_points_and_intervals_are_those_of_the_report():
    found = report(["fog", "snow"])
    figure = robustness_figure(found, model="mine")
    assert list(panels(figure)) == ["snow  50.0", "fog  50.0"]  # in the order of the benchmark's tables
    ((points, bars),) = curves(panels(figure)["fog  50.0"])
    assert points.tolist() == [[s, found.accuracy["fog"][s]] for s in (1, 2, 3, 4, 5)]
    for s, bar in zip((1, 2, 3, 4, 5), bars, strict=True):
        assert tuple(bar[:, 1]) == pytest.approx(found.outcomes["fog", s].interval)
    assert figure.get_suptitle().startswith("mine: clean 90.0 % (")


def test_a_baseline_stands_beside():
    figure = robustness_figure(report(["fog"]), report(["fog"], -10), model="mine", baseline_name="theirs")
    axes = panels(figure)["fog  50.0 (+20.0)"]
    (ours, _), (theirs, _) = curves(axes)
    np.testing.assert_allclose(ours[:, 1] - theirs[:, 1], 0.2)
    assert (ours[:, 0] < theirs[:, 0]).all()  # side by side, so that intervals can be told apart
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split(":")[0] for label in labels] == ["mine", "theirs"]


def test_a_row_for_each_family_and_all_that_was_measured():
    from freqfast.corruptions import BAR, CORRUPTIONS

    figure = robustness_figure(report([*CORRUPTIONS, *BAR, "my_own"], severities=(1, 3)))
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels == ["noise", "blur", "weather", "digital", "bar", "bar", "own"]
    assert len(panels(figure)) == 30


def test_it_is_drawn_whole_at_any_size():
    for names in (["fog"], ["fog", "contrast", "pixelate"]):
        figure = robustness_figure(report(names, clean=False), report(names[:1], clean=False))
        figure.savefig(file := io.BytesIO(), format="png")
        assert file.getvalue().startswith(b"\x89PNG")


def test_names_are_text_and_no_formulas():
    name = r"$\frac{$ run $\frac{$"
    for rival in (None, report(["fog"])):
        figure = robustness_figure(report(["fog", name]), rival, model=name, baseline_name=name)
        figure.savefig(io.BytesIO(), format="png")


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="the report holds no corruption"):
        robustness_figure(CorruptionReport({CLEAN: outcomes(1)}))
