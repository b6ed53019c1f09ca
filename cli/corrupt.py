"""`freqfast corrupt`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.command import option
from freqfast.cli.files import FORMATS, check_data, check_folder, check_output, save_figure
from freqfast.cli.images import Choice, TestSet
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import (
    AsJson,
    Corruptions,
    CorruptionSeed,
    Crop,
    Force,
    FrostDir,
    Interpolation,
    Labels,
    Limit,
    Parameters,
    Resize,
    SkipBad,
)
from freqfast.cli.output import print_json, progress_bar, say

if TYPE_CHECKING:
    from freqfast.data import Images
    from freqfast.progress import Progress


Out = Annotated[
    list[Path],
    option(
        "DIR|FILE",
        "The folder to write, where one begun with the same settings is completed; or a contact sheet of one image "
        "(.png, .svg, .pdf); or both.",
        "-o",
        "--out",
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="The test set: cifar10 (found as by `freqfast run`), photos, or the path of CIFAR-10 or of a tree of "
        "images; write ./cifar10 for a folder of that name.",
    ),
]


def corrupt(
    out: Out,
    source: Source = "cifar10",
    corruptions: Corruptions = None,
    parameters: Parameters = "auto",
    severity: Annotated[
        list[int] | None, option("N", "A severity, may be repeated; by default all five.", min=1, max=5)
    ] = None,
    limit: Limit = None,
    seed: CorruptionSeed = 0,
    frost_dir: FrostDir = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Write JPEG files as ImageNet-C has them, instead of .npy files.")
    ] = False,
    resize: Resize = None,
    crop: Crop = None,
    interpolation: Interpolation = None,
    labels: Labels = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Corrupt a test set as CIFAR-10-C, ImageNet-C or their C-bar do: at five severities, in CIFAR-10-C's layout.

    Writes <corruption>.npy (one block of images for each severity), labels.npy and manifest.json (hashes, seed,
    source). A second call verifies the files that exist and makes those that are missing.

    Examples:
        freqfast corrupt photos -o sheet.png
        freqfast corrupt cifar10 -o CIFAR-10-C --limit 1000
        freqfast corrupt my_images -o corrupted --corruptions c-bar --severity 3
    """
    sheets = [path for path in out if path.suffix[1:].lower() in FORMATS]
    folders = [path for path in out if path not in sheets]
    if len(folders) > 1 or (tree and not folders):
        raise ValueError("name one folder to write by -o")
    for path in sheets:
        check_output(path, FORMATS, [source, labels], force)
    check_data(source)
    for path in folders:
        check_folder(path, source)

    from freqfast.corruptions import SEVERITIES, find_table

    choice = Choice.parse(corruptions, frost_dir)
    severities = tuple(severity or SEVERITIES)
    test = TestSet(source, limit, labels, skip_bad, (resize, crop, interpolation))
    left = "; the same call goes on from the last whole file" if folders else ""
    with interruptible(f"interrupted{left}"), progress_bar() as progress:
        from freqfast.robustness.archive.writing import check_request

        # Before the data is fetched and decoded. Corruptions that are named must run here, of a set those that can.
        check_request(choice.runnable(None, frost_dir)[0], severities, frost_dir)
        whole, notes = _read(test, tree, progress)
        images = whole[:limit]
        table = find_table(parameters, *images.pixels.shape[1:3])
        names, missing = choice.runnable(table, frost_dir)
        for path in sheets:
            _draw(path, images, names, severities, seed, frost_dir=frost_dir, table=table)
            say(f"{path}: contact sheet of {whole.name}")
        for path in folders:
            what = f"{len(images)} images of {whole.name}, corruptions: {len(set(names))}"
            told = f"{path}: {what}, severities: {len(set(severities))}, parameters: {table}; files written: "
            options = {"frost_dir": frost_dir, "table": table, "progress": progress}
            # The hash of a data set is of all its images; of images in files only those that count are read.
            count = None if test.in_files(may_train=tree) else limit
            say(told + _write(path, whole, count, tree, names, severities, seed, **options))
    for note in notes + missing:
        say(note)
    if as_json:
        print_json(
            {"written": [str(path) for path in out], "images": len(images), "corruptions": names, "table": table}
        )


def _read(test: TestSet, tree: bool, progress: "Progress") -> tuple["Images", list[str]]:
    """The test images, those of a tree with the names that they have in their files, and notes."""
    from freqfast.data.loading import load_place

    if test.in_files(may_train=tree):
        return test.read(test.preprocessing, progress)
    return load_place(test.data, progress).test, []


def _write(
    out: Path,
    images: "Images",
    limit: int | None,
    tree: bool,
    names: tuple[str, ...],
    severities: tuple[int, ...],
    seed: int,
    **options: Any,
) -> str:
    """Write the folder, and tell how many files were written."""
    from freqfast.robustness.archive.trees import write_tree
    from freqfast.robustness.archive.writing import write_archive

    options |= {"source": images.name}
    classes = images.classes or ()
    if tree:
        return str(write_tree(out, images[:limit], classes, names, severities, seed, **options))
    done = write_archive(out, images, names, severities, seed, classes=classes, limit=limit, **options)
    for file, fault in done.damaged.items():
        say(f"{out / file} was damaged ({fault}) and has been made anew")
    return f"{len(done.written)}, verified: {len(done.verified)}"


def _draw(
    path: Path, images: "Images", names: tuple[str, ...], severities: tuple[int, ...], seed: int, **options: Any
) -> None:
    """Draw a colourful image under all corruptions."""
    import numpy as np

    from freqfast.report import contact_sheet
    from freqfast.report.sheet import most_colourful

    some = np.asarray(images.pixels[:100])
    index = most_colourful(some)
    save_figure(path, contact_sheet(some[index], names, severities, seed, index=index, **options), dpi="figure")
