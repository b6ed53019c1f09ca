"""What figures show, read back from their axes."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

NASTY = "_run $x^2$ <b>"
"""A name that matplotlib would hide, typeset or, in HTML, interpret."""


LONG = "resnet18_cifar10.modulation_perturbation-20261127-205336-365129"
"""A run's name by default."""


def units(figure):
    """The labels of the figure's axes."""
    return {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label}


def drawn(axes, colour):
    """Lines of a colour."""
    return [line for line in axes.lines if to_hex(line.get_color()) == colour]


def check_texts_inside(figure):
    """Fail if a title, a label or a legend leaves the figure to the left or right, or two titles overlap."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    for axes in figure.axes:
        for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels()):
            if axes.get_visible() and text.get_visible() and text.get_text():
                box = text.get_window_extent(renderer)
                assert box.x0 >= -1, text.get_text()
                assert box.x1 <= figure.bbox.x1 + 1, text.get_text()
    titles = [axes._left_title.get_window_extent(renderer) for axes in figure.axes if axes.get_title(loc="left")]
    assert not any(a.overlaps(b) for a, b in combinations(titles, 2))
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert figure.bbox.x0 - 1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1
        assert not any(box.overlaps(axes.bbox) for axes in figure.axes)
