"""The images of a command: test images of a data set or in files, corrupted on the fly, or stored corrupted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from freqfast.corruptions.tables import Table, TableChoice
from freqfast.files import of_user

if TYPE_CHECKING:
    from freqfast.data import Images, Preprocessing
    from freqfast.models.classifier import Classifier
    from freqfast.models.network import Network
    from freqfast.progress import Progress
    from freqfast.robustness import CellSource
    from freqfast.runs.directory import RunDirectory

_SETS = {"c": "c", "c-bar": "bar"}
PUBLISHED = "cifar10c"
"""What the published CIFAR-10-C is called in place of a path."""


@dataclass(frozen=True)
class TestSet:
    """Test images that the words of a command name.

    Attributes:
        data: Where they are, or the name of their data set.
        limit: How many of them count, from the first on.
        labels: A list of their classes.
        skip_bad: Whether files that are no images are left out.
        scaling: What options say of how they are scaled: resize, crop, interpolation.
    """

    data: str | None = None
    limit: int | None = None
    labels: Path | None = None
    skip_bad: bool = False
    scaling: tuple[int | None, int | None, Any] = (None, None, None)

    @property
    def preprocessing(self) -> "Preprocessing":
        """How options alone say that they are scaled."""
        from freqfast.data import Preprocessing

        return Preprocessing(None, None, *self.scaling)

    @property
    def has_options(self) -> bool:
        """Whether an option says how images in files are read."""
        return any(self.scaling) or self.labels is not None or self.skip_bad

    def in_files(self, network: "Network | None" = None, may_train: bool = False) -> bool:
        """Whether they are read from a folder as they lie there: it has test images alone, or a network scales them.

        The data of a run is scaled by its own loader. If `may_train`, there may be training images too.
        """
        from freqfast.data.loading import is_test_folder
        from freqfast.runs.directory import find_run

        if self.has_options or is_test_folder(self.data, may_train):
            return True
        is_scaled = network is not None and network.preprocessing.scales and find_run(network.name) is None
        return is_scaled and is_folder(self.data)

    def read(self, preprocessing: "Preprocessing", progress: "Progress") -> tuple["Images", list[str]]:
        """Those of a folder, and notes on what is left out."""
        from freqfast.data import list_images
        from freqfast.data.image_files import leave_out_corrupt

        if not is_folder(self.data):
            raise ValueError(
                "--resize, --crop, --interpolation, --labels and --skip-bad read a folder of images; name it by --data"
            )
        if preprocessing.interpolation and not preprocessing.resize:
            raise ValueError(
                f"--interpolation {preprocessing.interpolation} scales nothing without --resize; name both"
            )
        images = list_images(of_user(str(self.data)), preprocessing, self.labels)[: self.limit]
        if not self.skip_bad:
            return images, []
        sound, faults = leave_out_corrupt(images, progress)
        return sound, [*faults, f"left out: {len(faults)} of {len(images)} images"] if faults else []

    def load(self, network: "Network", run: "RunDirectory | None", progress: "Progress") -> tuple["Images", list[str]]:
        """Those of a folder, scaled for a network; else of a run's data, a named one, or CIFAR-10; and notes."""
        from freqfast.runs.run import load_run_data

        if self.in_files(network):
            images, left = self.read(network.preprocessing, progress)
            return images, scaling_notes(network) + left
        return load_run_data(run, self.data, progress).test[: self.limit], self.unscaled_notes(network)

    def unscaled_notes(self, network: "Network") -> list[str]:
        """A note if a network scales images, but not these, which a variable names."""
        from freqfast.data.stored import named_place
        from freqfast.runs.directory import find_run

        if self.data or not network.preprocessing.scales or find_run(network.name) or named_place() is None:
            return []
        return [f"images for {network.name}: those of FREQFAST_DATA as they are; name them by --data to scale them"]


class Choice(NamedTuple):
    """Corruptions that are asked for: all of a benchmark, or some by name; both None for the default."""

    benchmark: str | None
    names: tuple[str, ...] | None

    @classmethod
    def parse(cls, text: str | None, frost_dir: Path | None = None, makes: bool = True) -> "Choice":
        """What `--corruptions` says; refuses photographs that nothing needs, and unknown corruptions to make."""
        from freqfast.corruptions import SETS
        from freqfast.corruptions.registry import check_names

        names = None if text is None or text in _SETS else tuple(name.strip() for name in text.split(","))
        found = cls(_SETS.get(text or ""), names)
        if frost_dir is not None and "frost" not in (names or SETS[found.benchmark or "c"]):
            raise ValueError("frost is not among the corruptions; leave out --frost-dir")
        if makes:
            check_names(names or ())
        return found

    def runnable(self, table: Table | None = None, frost_dir: Path | None = None) -> tuple[tuple[str, ...], list[str]]:
        """The corruptions to make, of a benchmark those that can run here, and notes on the others."""
        from freqfast.corruptions import find_set, runnable

        if self.names:
            return self.names, []
        return runnable(find_set(self.benchmark or "c", table or "cifar10"), frost_dir)


def is_folder(place: str | None) -> bool:
    """Whether a place is a folder, and no name of a data set."""
    from freqfast.data.loading import is_data_name

    return place is not None and not is_data_name(place) and of_user(place).is_dir()


def scaling_notes(network: "Network", taken: "Preprocessing | None" = None) -> list[str]:
    """A note on how a network's images are scaled; on what is stated for it, if its images are scaled otherwise."""
    stated = network.preprocessing
    if not stated.scales:
        return []
    note = f"images for {network.name}: {stated}"
    if taken is None:
        return [note]
    differs = any(getattr(stated, name) != getattr(taken, name) for name in ("resize", "crop", "interpolation"))
    return [f"{note}: stated for it, not taken"] * differs


def choose_among(
    classifiers: Sequence["Classifier"], classes: tuple[str, ...] | None, images: str
) -> list["Classifier"]:
    """Classifiers that choose among the classes of the images, where the network has more, or in another order."""
    if classes is not None and len(classes) == 1:
        raise ValueError(f"{images} has one class, {classes[0]}, so there is no choice; name images of several classes")
    found = []
    for each in classifiers:
        if each.classes is None:
            check_order(classes, images)
        elif classes is not None and classes != each.classes and set(classes) <= set(each.classes):
            each = each.among(classes)
        found.append(each)
    return found


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


def corrupted_on_the_fly(
    test: TestSet,
    networks: Sequence["Network"],
    run: "RunDirectory | None",
    choice: Choice,
    seed: int,
    frost_dir: Path | None,
    parameters: TableChoice,
    progress: "Progress",
) -> tuple["CellSource", list[str]]:
    """Test images to corrupt on the fly, the same for all networks and scaled for the first, and notes."""
    from freqfast.corruptions import find_table
    from freqfast.robustness import corrupted_source

    choice.runnable(None, frost_dir)  # refuses photographs that are missing, before the data is read
    images, notes = test.load(networks[0], run, progress)
    notes += [note for each in networks[1:] for note in scaling_notes(each, networks[0].preprocessing)]
    table = find_table(parameters, *images.pixels.shape[1:3])
    names, missing = choice.runnable(table, frost_dir)
    where = {"name": images.name, "classes": images.classes, "progress": progress}
    return corrupted_source(images, names, seed, frost_dir=frost_dir, table=table, **where), notes + missing  # type: ignore[arg-type]


def stored(
    place: str, test: TestSet, network: "Network", choice: Choice, progress: "Progress"
) -> tuple["CellSource", list[str]]:
    """Images that are stored corrupted, with the uncorrupted ones if they are at hand, and notes on both."""
    from freqfast.data import ImageData
    from freqfast.robustness.archive.layout import find_stored_set
    from freqfast.robustness.archive.trees import is_tree
    from freqfast.robustness.sources import find_source

    folder = None if place == PUBLISHED else Path(place)
    only = find_stored_set(folder, choice.benchmark) if choice.benchmark else None
    if folder and is_tree(folder):
        return _stored_tree(folder, test, network, choice.names, only, progress)
    clean: str | ImageData | None = test.data
    notes: list[str] = []
    if clean is None and test.has_options:
        raise ValueError(
            "without --data only stored arrays are read, of one size; leave out --resize, --crop, --interpolation, "
            "--labels, --skip-bad"
        )
    if clean is not None and test.in_files():
        whole, notes = replace(test, limit=None).read(test.preprocessing, progress)
        clean = ImageData(whole.name, whole.classes or (), train=whole, test=whole)  # the first is not used
    source, told = find_source(
        folder, choice.names, test.limit, only=only, download=True, data=clean, progress=progress
    )
    return source, told + notes


def _stored_tree(
    folder: Path,
    test: TestSet,
    network: "Network",
    required: Sequence[str] | None,
    only: Sequence[str] | None,
    progress: "Progress",
) -> tuple["CellSource", list[str]]:
    """Corrupted images as ImageNet-C has them."""
    from freqfast.robustness.archive.trees import renumber, tree_source, uncorrupted

    if test.data is None and (test.labels or test.skip_bad):
        raise ValueError("a tree has its classes, and all its images count; leave out --labels, --skip-bad")
    # They were scaled and cropped before they were corrupted; --resize is for the images of --data.
    stated = network.preprocessing
    cropped = replace(network, preprocessing=replace(stated, resize=stated.crop or stated.resize))
    source = tree_source(folder, test.limit, required, only, preprocessing=cropped.preprocessing)
    if test.data is None:
        return source, scaling_notes(cropped)
    if not is_folder(test.data):
        raise ValueError(f"--data {test.data}: the uncorrupted images of a tree lie in a folder; name it")
    clean, left = replace(test, limit=None).read(stated, progress)
    classes, known = clean.classes or (), source.classes or ()
    if not {known[label] for label in source.labels} <= set(classes) <= set(known):
        raise ValueError(f"{test.data} and {folder} have different classes; name the images that were corrupted")
    first = folder / source.corruptions[0] / str(source.severities[0])
    clean = uncorrupted(first, test.limit, clean, classes)
    clean = replace(clean, labels=renumber(clean.labels, classes, known))
    return replace(source, clean=clean), scaling_notes(cropped) + scaling_notes(network) + left
