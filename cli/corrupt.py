"""`freqfast corrupt`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.command import complete_corruption, option
from freqfast.cli.files import FORMATS, check_data, check_folder, check_output, save_figure
from freqfast.cli.image_files import Crop, FileOptions, Interpolation, Labels, Resize, SkipBad
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import Collection, given, refuse, refuse_frost_dir
from freqfast.cli.output import progress_bar, say

from freqfast.corruptions.tables import Table, TableChoice

if TYPE_CHECKING:
    import numpy as np

    from freqfast.data.image_files import ImageFiles


def corrupt(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The test set: cifar10 (found as by `freqfast run`), photos, or the path of CIFAR-10 or of an "
            "image-folder tree; write ./cifar10 for a folder of that name.",
        ),
    ] = "cifar10",
    out: Annotated[
        Path | None,
        option("PATH", "The folder to write; one begun with the same settings is completed.", "-o", "--out"),
    ] = None,
    show: Annotated[Path | None, option("FILE", "Draw a contact sheet of one image (.png, .pdf or .svg).")] = None,
    collection: Annotated[
        Collection, option("c|bar", "The 19 corruptions of CIFAR-10-C (c), or ten of C-bar (bar), see --table.")
    ] = "c",
    table: Annotated[
        TableChoice,
        option(
            "NAME",
            "The published parameters for cifar10, tiny-imagenet or imagenet; auto: the first for shorter sides below "
            "48 pixels, the second below 112, else the third.",
        ),
    ] = "auto",
    corruption: Annotated[
        list[str] | None,
        option(
            "NAME",
            "A corruption of any collection, may be repeated; by default all of --collection.",
            autocompletion=complete_corruption,
        ),
    ] = None,
    severity: Annotated[
        list[int] | None, option("N", "A severity, may be repeated; by default all five.", min=1, max=5)
    ] = None,
    limit: Annotated[int | None, option("N", "Test images to use, from the first on; by default all.", min=1)] = None,
    seed: Annotated[int, option("N", "Seed of the corruptions.")] = 0,
    image: Annotated[
        int | None, option("N", "Which test image --show draws; by default a colourful one.", min=0)
    ] = None,
    frost_dir: Annotated[
        Path | None, option("PATH", "Folder of the frost photographs, if `frost` is not installed.")
    ] = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Write JPEG files as ImageNet-C has them, instead of .npy files.")
    ] = False,
    resize: Resize = None,
    crop: Crop = None,
    interpolation: Interpolation = None,
    labels: Labels = None,
    skip_bad: SkipBad = False,
) -> None:
    """Corrupt a test set as CIFAR-10-C, ImageNet-C or their C-bar do: at five severities, in CIFAR-10-C's layout.

    Writes <corruption>.npy (one block of images for each severity), labels.npy and manifest.json (hashes, seed,
    source). A second call verifies the files that exist and makes those that are missing.

    Examples:
        freqfast corrupt photos --show sheet.png
        freqfast corrupt cifar10 -o CIFAR-10-C --limit 1000
        freqfast corrupt my_images -o corrupted --collection bar --severity 3
    """
    if out is None and show is None:
        raise ValueError("nothing to do: name a folder to write with --out, or a contact sheet with --show")
    if given(context, {"collection"}):
        refuse(context, "--collection names the corruptions", {"corruption"})
    if show is None:
        refuse(context, "without --show no image is drawn", {"image"})
    if out is None:
        refuse(context, "without --out no file of images is written", {"tree"})
    check_output(show, FORMATS)
    check_data(source)

    if out is not None:
        check_folder(out)

    from freqfast.corruptions import SETS, SEVERITIES, find_set, find_table, runnable
    from freqfast.corruptions.registry import check_names

    refuse_frost_dir(frost_dir, corruption or SETS[collection])
    files = FileOptions(resize, crop, interpolation, labels, skip_bad)
    severities = tuple(severity or SEVERITIES)
    check_names(corruption or ())
    left = "; the same call goes on from the last whole file" if out is not None else ""
    with interruptible(f"interrupted{left}"), progress_bar() as progress:
        from freqfast.data.loading import load_place
        from freqfast.robustness.archive.trees import write_tree
        from freqfast.robustness.archive.writing import check_request, write_archive

        # Before the data is fetched and decoded. Corruptions that are named must run here, of a set those that can.
        check_request(corruption or runnable(SETS[collection], frost_dir)[0], severities, frost_dir)
        in_files = files.reads(source, may_train=tree)  # whose names a tree keeps
        whole, notes = files.read(source, limit, progress) if in_files else (load_place(source, progress).test, [])
        images, classes, name = whole[:limit], whole.classes or (), whole.name
        taken = find_table(table, *images.pixels.shape[1:3])
        names, missing = (tuple(corruption), []) if corruption else runnable(find_set(collection, taken), frost_dir)
        if show is not None:
            _draw(show, images.pixels, image, names, severities, seed, frost_dir, taken)
            say(f"{show}: contact sheet of {name}")
        what = f"{len(images)} images of {name}, corruptions: {len(set(names))}, severities: {len(set(severities))}"
        told = f"{out}: {what}, parameters: {taken}; files written: "
        options: dict[str, Any] = {"source": name, "frost_dir": frost_dir, "table": taken, "progress": progress}
        if out is not None and tree:
            written = write_tree(out, images, classes, names, severities, seed, **options)
            say(f"{told}{written}")
        elif out is not None:
            done = write_archive(
                out,
                whole,
                names,
                severities,
                seed,
                classes=classes,
                limit=None if in_files else limit,
                **options,
            )
            for file, fault in done.damaged.items():
                say(f"{out / file} was damaged ({fault}) and has been made anew")
            say(f"{told}{len(done.written)}, verified: {len(done.verified)}")
    for note in notes + missing:
        say(note)


def _draw(
    path: Path,
    images: "np.ndarray | ImageFiles",
    index: int | None,
    names: tuple[str, ...],
    severities: tuple[int, ...],
    seed: int,
    frost_dir: Path | None,
    table: Table,
) -> None:
    import numpy as np

    from freqfast.report import contact_sheet
    from freqfast.report.sheet import most_colourful

    if index is not None and index >= len(images):
        raise ValueError(f"--image {index}: there are {len(images)} test images, counted from 0")
    chosen = most_colourful(np.asarray(images[:100])) if index is None else index
    [pixels] = np.asarray(images[chosen : chosen + 1])
    figure = contact_sheet(pixels, names, severities, seed, index=chosen, frost_dir=frost_dir, table=table)
    save_figure(path, figure, dpi="figure")
