"""The images of a command: those of a folder, corrupted on the fly, or stored as a tree."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from freqfast.corruptions.tables import TableChoice
from freqfast.files import of_user

if TYPE_CHECKING:
    from freqfast.data import ImageData, Images, Preprocessing
    from freqfast.models.classifier import Classifier
    from freqfast.models.network import Network
    from freqfast.progress import Progress
    from freqfast.robustness import CellSource
    from freqfast.runs.directory import RunDirectory

_file_option = partial(typer.Option, rich_help_panel="Images in files, of any number and size")
Resize = Annotated[int | None, _file_option(min=1, metavar="N", help="Scale the shorter side to N pixels.")]
Crop = Annotated[int | None, _file_option(min=1, metavar="N", help="Cut N x N pixels out of the middle.")]
# As `freqfast.preprocessing.Interpolation`, whose import takes longer.
_Filter = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Interpolation = Annotated[
    _Filter | None, _file_option(metavar="NAME", help="How to scale: bilinear (default), bicubic, ...")
]
ClassList = Annotated[
    Path | None,
    _file_option(metavar="FILE", help="The network's class names, one per line, if the images are of fewer classes."),
]
Labels = Annotated[
    Path | None, _file_option(metavar="FILE", help="List of the images' classes, one image per line: NAME CLASS.")
]
SkipBad = Annotated[bool, _file_option("--skip-bad", help="Leave out files that are not images, and say how many.")]


class FileOptions(NamedTuple):
    """How images are read from a folder, batch by batch; true if any option is given, see `reads`."""

    resize: int | None
    crop: int | None
    interpolation: _Filter | None
    labels: Path | None = None
    skip_bad: bool = False

    def __bool__(self) -> bool:
        return any(self)

    def reads(self, place: str | Path | None, may_train: bool = False) -> bool:
        """Whether images are read from a folder: an option says so, or the folder is one of test images.

        If `may_train`, it may have training images too.
        """
        from freqfast.data.loading import is_test_folder

        return bool(self) or is_test_folder(place, may_train)

    def for_network(
        self, source: "Network", place: str | Path | None, *, are_cropped: bool = False, are_read: bool = False
    ) -> tuple["FileOptions", list[str]]:
        """The options, what is not given as timm's or torchvision's configuration states it, and a note on that.

        Of ours on images in files it is what the recipe stated; but where a run's data is read by its own loader and
        not by `read`, that loader scales. Nothing is taken from either for data that is no folder. Images that are
        stored cropped, as ImageNet-C's are, are scaled to the size of the crop.
        """
        from freqfast.data.loading import is_data_name
        from freqfast.data.stored import named_place
        from freqfast.runs.directory import find_run

        stated = source.preprocessing
        if not stated.scales:
            return self, []
        if place is None:
            unscaled = named_place() is not None and find_run(source.name) is None
            note = f"images for {source.name}: those of FREQFAST_DATA as they are; name them by --data to scale them"
            return self, [note] if unscaled else []
        if is_data_name(place) or not of_user(place).is_dir():
            return self, []
        if find_run(source.name) is not None and not (are_read or self.reads(place)):
            return self, []
        crop = self.crop or stated.crop
        resize = self.resize or (crop if are_cropped else stated.resize)
        if crop != stated.crop and crop and stated.crop and stated.resize and not (self.resize or are_cropped):
            resize = round(crop * stated.resize / stated.crop)
        how = self.interpolation or stated.interpolation
        taken = replace(stated, resize=resize, crop=crop, interpolation=how)
        return self._replace(resize=resize, crop=crop, interpolation=how), [f"images for {source.name}: {taken}"]

    @property
    def preprocessing(self) -> "Preprocessing":
        """How images are scaled and cropped; a ValueError if an interpolation is named, and they are not scaled."""
        from freqfast.data import Preprocessing

        if self.interpolation is not None and self.resize is None:
            raise ValueError(f"--interpolation {self.interpolation} scales nothing without --resize; name both")
        return Preprocessing(resize=self.resize, crop=self.crop, interpolation=self.interpolation)

    def read(self, folder: str | None, limit: int | None, progress: "Progress") -> tuple["Images", list[str]]:
        """The images of a folder, and notes on images left out."""
        from freqfast.data import list_images
        from freqfast.data.image_files import leave_out_corrupt
        from freqfast.data.loading import is_data_name

        if folder is None or is_data_name(folder):
            raise ValueError(
                "--resize, --crop, --interpolation, --labels and --skip-bad read a folder of images; name it by --data"
            )
        images = list_images(of_user(folder), self.preprocessing, self.labels)[:limit]
        if not self.skip_bad:
            return images, []
        sound, faults = leave_out_corrupt(images, progress)
        return sound, [*faults, f"left out: {len(faults)} of {len(images)} images"] if faults else []

    def read_both(
        self, folder: str | None, class_list: Path | None, trained: Sequence[str] | None = None
    ) -> "ImageData":
        """The training and test images of a folder, of the classes of a list, else of a network if it states them."""
        from freqfast.data import load_tree
        from freqfast.data.loading import is_data_name

        if folder is None or is_data_name(folder) or self.resize is None or self.crop is None:
            raise ValueError("images in files need their folder, --data, and a size, --resize and --crop")
        trained = trained if class_list is None else class_names(class_list)
        return load_tree(of_user(folder), self.preprocessing, trained)


def class_names(path: Path) -> tuple[str, ...]:
    """The names of a network's classes, in the order of its logits, from a file of a line each."""
    from freqfast.models.sources import read_classes

    return read_classes(path)


def choose_among(
    classifiers: Sequence["Classifier"], classes: Sequence[str] | None, trained: Sequence[str] | None, images: str
) -> list["Classifier"]:
    """Classifiers that choose among the classes of the images, where a list tells all that they were trained on.

    Beside others, which the list is for, a model of ours has the classes that its file tells.
    """
    foreign = [each for each in classifiers if each.classes in (None, trained)]
    if trained is None:
        if foreign:
            check_order(classes, images)
        return list(classifiers)
    if classes is None:
        raise ValueError("--class-list: these images do not name their classes; leave it out")
    if len(classes) == 1:
        raise ValueError(f"{images} has one class, {classes[0]}, so there is no choice; name images of several classes")
    return [each.among(classes, trained if each in foreign or not foreign else None) for each in classifiers]


def check_order(classes: Sequence[str] | None, images: str) -> None:
    """Refuse, for a network that does not name its logits, numbers whose order as text is not their own."""
    if not classes or not all(name.isdecimal() for name in classes):
        return
    numbers = [int(name) for name in classes]
    if list(classes) == sorted(classes) and numbers != sorted(numbers):
        before, after = next(pair for pair in pairwise(classes) if int(pair[0]) > int(pair[1]))
        raise ValueError(
            f"the classes of {images} are numbers in the order of text, {before} before {after}; name those of the "
            "network, in the order of its logits, by --class-list"
        )


def stored_tree(
    folder: Path,
    files: FileOptions,
    network: "Network",
    data: str | None,
    limit: int | None,
    required: Sequence[str] | None,
    only: Sequence[str] | None,
    progress: "Progress",
) -> tuple["CellSource", list[str]]:
    """Corrupted images as ImageNet-C has them, with the uncorrupted ones if they are named, and notes on both."""
    from freqfast.robustness.archive.trees import renumber, tree_source, uncorrupted

    # --resize is for the images of --data: those of the tree were scaled and cropped already.
    scaled = None if files.resize is None else files.crop or network.preprocessing.crop
    own = files._replace(resize=scaled or files.resize)
    stored, notes = own.for_network(network, folder, are_cropped=True)
    source = tree_source(folder, limit, required, only, preprocessing=stored.preprocessing)
    if data is None:
        return source, notes
    if not of_user(data).is_dir():
        raise ValueError(f"--data {data}: the uncorrupted images of a tree lie in a folder; name it")
    whole, told = files.for_network(network, data, are_read=True)
    clean, left = whole.read(data, None, progress)
    classes, known = clean.classes or (), source.classes or ()
    if not {known[label] for label in source.labels} <= set(classes) <= set(known):
        raise ValueError(f"{data} and {folder} have different classes; name the images that were corrupted")
    clean = uncorrupted(folder / source.corruptions[0] / str(source.severities[0]), limit, clean, classes)
    clean = replace(clean, labels=renumber(clean.labels, classes, known))
    return replace(source, clean=clean), notes + told + left


def corrupted_test_set(
    run: "RunDirectory | None",
    files: FileOptions,
    place: str | None,
    asked: Sequence[str] | None,
    which: str,
    limit: int | None,
    seed: int,
    frost_dir: Path | None,
    table: TableChoice,
    progress: "Progress",
) -> tuple["CellSource", list[str]]:
    """A test set to corrupt on the fly, and notes on the corruptions that cannot run here."""
    from freqfast.corruptions import SETS, find_set, find_table, runnable
    from freqfast.robustness import corrupted_source
    from freqfast.runs.run import load_run_data

    runnable(SETS[which], frost_dir)  # refuses photographs that are named and missing, before the data is read
    if files.reads(place):
        images, notes = files.read(place, limit, progress)
    else:
        images, notes = load_run_data(run, place, progress).test[:limit], []
    taken = find_table(table, *images.pixels.shape[1:3])
    names, missing = (asked, []) if asked else runnable(find_set(which, taken), frost_dir)
    source = corrupted_source(
        images,
        names,
        seed,
        frost_dir=frost_dir,
        table=taken,
        name=images.name,
        classes=images.classes,
        progress=progress,
    )
    return source, notes + missing
