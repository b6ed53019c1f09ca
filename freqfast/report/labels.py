"""Labels of points that overlap neither each other nor what is drawn."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox

_DISTANCES = (5, 9, 14, 20, 28, 38, 50, 65)  # points, from the point to the label's nearest edge
_DIRECTIONS = tuple(math.radians(angle) for angle in (0, 180, 90, 270, 45, 315, 135, 225, 22, 338, 158, 202))
_LEADER = 10  # points; a label farther away has a line to its point
_STYLE: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center", "zorder": 4}
_LINE = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}


def place_labels(
    axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str], obstacles: Sequence[Bbox], size: float
) -> list[Annotation]:
    """Write a label beside each point, as near as there is room; labels farther away have a line to their point.

    The most crowded points get their labels first, so that points with more room do not take their places. The limits
    and the position of the axes must be final. Points and obstacles, which labels avoid, are in data coordinates.
    """
    to_points = 72 / axes.figure.dpi  # all lengths here are in points, so that they hold at any resolution
    centres = [tuple(to_points * xy for xy in axes.transData.transform(point)) for point in points]
    frame = Bbox(to_points * axes.bbox.get_points())
    taken = [Bbox(to_points * box.transformed(axes.transData).get_points()) for box in obstacles]
    crowded = sorted(range(len(points)), key=lambda i: sum(math.dist(centres[i], other) ** 0.5 for other in centres))
    placed: dict[int, dict[str, Any]] = {}
    for i in crowded:
        width, height = TextPath((0, 0), labels[i], size=size).get_extents().width + 2, 1.1 * size
        best, box = math.inf, frame
        for distance, angle in product(_DISTANCES, _DIRECTIONS):
            x = centres[i][0] + (distance + width / 2) * math.cos(angle)
            y = centres[i][1] + (distance + height / 2) * math.sin(angle)
            trial = Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
            hidden = sum(_overlap(trial, other) for other in taken)
            cost = hidden + 4 * (width * height - _overlap(trial, frame))  # a place outside is the worst
            if cost < best - 1e-9:
                best, box = cost, trial
            if best <= 1e-9:
                break
        taken.append(box)
        offset = ((box.x0 + box.x1) / 2 - centres[i][0], (box.y0 + box.y1) / 2 - centres[i][1])
        far = max(abs(offset[0]) - width / 2, abs(offset[1]) - height / 2) > _LEADER
        placed[i] = {"xytext": offset, "arrowprops": _LINE if far else None}
    return [axes.annotate(labels[i], point, fontsize=size, **placed[i], **_STYLE) for i, point in enumerate(points)]


def _overlap(a: Bbox, b: Bbox) -> float:
    """Area that two boxes share."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(0.0, width) * max(0.0, height)
