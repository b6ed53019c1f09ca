"""What figures show, read back from their axes."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

NASTY = "_run $x^2$ <b>"
"""A name that matplotlib would hide, typeset or, in HTML, interpret."""


def units(figure):
    """The labels of the figure's axes."""
    return {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label}


def drawn(axes, colour):
    """Lines of a colour."""
    return [line for line in axes.lines if to_hex(line.get_color()) == colour]


def check_texts_inside(figure):
    """Fail if a title or label leaves the figure to the left or right."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    for axes in figure.axes:
        for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels()):
            if axes.get_visible() and text.get_visible() and text.get_text():
                box = text.get_window_extent(renderer)
                assert box.x0 >= -1, text.get_text()
                assert box.x1 <= figure.bbox.x1 + 1, text.get_text()
