"""Options of `freqfast evaluate` and `freqfast corrupt` for images that stay in files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from freqfast.data.images import ImageSet
    from freqfast.progress import Progress

__all__ = ["Crop", "FileOptions", "Labels", "Resize", "SkipBad", "class_names"]

_PANEL = "Images in files, of any number and size"
Resize = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=_PANEL, help="Scale the shorter side to N pixels."),
]
Crop = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=_PANEL, help="Cut N x N pixels out of the middle."),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", rich_help_panel=_PANEL, help="A list of the images' classes, a line each: NAME CLASS."
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", rich_help_panel=_PANEL, help="Leave out files that are no images, and count them."),
]


class FileOptions(NamedTuple):
    """How images are read from a folder, batch by batch; true if any option is given."""

    resize: int | None
    crop: int | None
    labels: Path | None
    skip_bad: bool

    def __bool__(self) -> bool:
        return any(self)

    def read(
        self, folder: str | None, limit: int | None, progress: "Progress"
    ) -> tuple["ImageSet", tuple[str, ...], list[str]]:
        """The images of a folder, the names of their classes, and notes on those left out."""
        from freqfast.data.image_files import ImageFiles, find_corrupt_files, list_images

        if folder is None:
            raise ValueError("--resize, --crop, --labels and --skip-bad read a folder of images; name it by --data")
        images, classes = list_images(folder, self.resize, self.crop, self.labels)
        images = images.head(limit)
        files = images.images
        if not self.skip_bad or not isinstance(files, ImageFiles):
            return images, classes, []
        faults = find_corrupt_files(files, progress)
        sound = [row for row in range(len(files)) if row not in faults]
        if not sound:
            raise ValueError(f"{folder}: none of its images can be used; {faults[0]}")
        notes = [*faults.values(), f"left out: {len(faults)} of {len(files)} images"] if faults else []
        import numpy as np

        return images.take(np.array(sound)), classes, notes


def class_names(path: Path) -> tuple[str, ...]:
    """The names of a network's classes, in the order of its logits, from a file of a line each."""
    from freqfast.files import read_file

    names = tuple(line.strip() for line in read_file(path, 2**24).decode(errors="replace").splitlines() if line.strip())
    if len(set(names)) < max(len(names), 1):
        raise ValueError(f"--class-list {path}: write each class once, a line each")
    return names
