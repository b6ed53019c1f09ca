"""How the commands save figures."""

from pathlib import Path
from typing import TYPE_CHECKING

from freqfast.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_figure_path", "save_figure"]

FORMATS = ("png", "svg", "pdf")


def check_figure_path(path: Path | None) -> None:
    """Refuse a figure's path before there is anything to draw.

    Raises:
        ValueError: If its ending names none of the formats.
        FileNotFoundError: If its folder does not exist.
    """
    if path is None:
        return
    if path.suffix[1:].lower() not in FORMATS:
        raise ValueError(f"cannot draw {path}: a figure's name ends in .{', .'.join(FORMATS)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {path.parent} does not exist; create it or choose another path")


def save_figure(path: Path, figure: "Figure") -> None:
    """Save a figure, whole or not at all, in the format that its name's ending tells."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=200)
