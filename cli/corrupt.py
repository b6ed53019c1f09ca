"""`freqfast corrupt`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from freqfast.cli.files import FORMATS, check_exists, check_output, save_figure
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import given, refuse, refuse_frost_dir
from freqfast.cli.output import progress_bar, say

from freqfast.plugins import find_plugins

if TYPE_CHECKING:
    import numpy as np

    from freqfast.corruptions.tables import Table

__all__ = ["corrupt"]


def corrupt(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="Whose test set: cifar10 (found as by `freqfast run`), photos, or the path of CIFAR-10 or of an "
            "image-folder tree; write ./cifar10 for a folder of that name."
        ),
    ] = "cifar10",
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; one begun with the same settings is continued.")
    ] = None,
    show: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw a contact sheet of one image (.png, .pdf or .svg).")
    ] = None,
    which: Annotated[
        Literal["c", "bar"], typer.Option("--set", help="The 19 corruptions, or the 10 of C-bar that the table has.")
    ] = "c",
    table: Annotated[
        Literal["auto", "cifar10", "tiny-imagenet", "imagenet"],
        typer.Option(
            help="Whose parameters: auto takes CIFAR-10-C's for shorter sides below 48 pixels, Tiny-ImageNet-C's "
            "below 112, else ImageNet-C's."
        ),
    ] = "auto",
    corruption: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A corruption of any set, may be repeated; by default all.")
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option(min=1, max=5, help="A severity, may be repeated; by default all five.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first images of the test set only.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the corruptions.")] = 0,
    image: Annotated[
        int | None, typer.Option(min=0, help="Which test image --show draws; by default a colourful one.")
    ] = None,
    frost_dir: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the frost photographs, if `frost` is not installed.")
    ] = None,
) -> None:
    """Corrupt a test set as CIFAR-10-C, ImageNet-C or their C-bar do: at five severities, in CIFAR-10-C's layout.

    Leaves <corruption>.npy, labels.npy and manifest.json (hashes, seed, source). A second call verifies what is there
    and makes what is missing. Files hold one block of images for each severity.
    """
    if out is None and show is None:
        raise ValueError("nothing to do: name a folder to write with --out, or a contact sheet with --show")
    if given(context, {"which"}):
        refuse(context, "--set names the corruptions", {"corruption"})
    if show is None:
        refuse(context, "without --show no image is drawn", {"image"})
    check_output(show, FORMATS)
    if source not in ("cifar10", "photos", *find_plugins("data")):
        check_exists(source, "cifar10, photos, or an archive or a folder of images")

    from freqfast.corruptions import SETS, SEVERITIES, find_set, find_table, runnable
    from freqfast.data.loading import load_place
    from freqfast.robustness.archive.writing import check_request, write_archive

    refuse_frost_dir(frost_dir, corruption or SETS[which])
    severities = tuple(severity or SEVERITIES)
    # Before the data is fetched and decoded. Corruptions that are named must run here, of a set those that can.
    check_request(corruption or runnable(SETS[which], frost_dir)[0], severities, limit, frost_dir)
    left = "; the same call goes on from the last whole file" if out is not None else ""
    with interruptible(f"interrupted{left}"), progress_bar() as progress:
        data = load_place(source, progress)
        images = data.test.images[:limit]
        taken = find_table(table, *images.shape[1:3])
        names, notes = (tuple(corruption), []) if corruption else runnable(find_set(which, taken), frost_dir)
        if show is not None:
            _draw(show, images, image, names, severities, seed, frost_dir, taken)
            say(f"{show}: contact sheet of {data.name}")
        if out is not None:
            done = write_archive(
                out,
                data.test,
                names,
                severities,
                seed,
                source=data.name,
                classes=data.classes,
                limit=limit,
                frost_dir=frost_dir,
                table=taken,
                progress=progress,
            )
            for name, fault in done.damaged.items():
                say(f"{out / name} was damaged ({fault}) and has been made anew")
            say(
                f"{out}: {len(images)} images of {data.name}, corruptions: {len(set(names))}, severities: "
                f"{len(set(severities))}, parameters: {taken}; files written: {len(done.written)}, verified: "
                f"{len(done.verified)}",
            )
    for note in notes:
        say(note)


def _draw(
    path: Path,
    images: "np.ndarray",
    index: int | None,
    names: tuple[str, ...],
    severities: tuple[int, ...],
    seed: int,
    frost_dir: Path | None,
    table: "Table",
) -> None:
    from freqfast.report import contact_sheet, most_colourful

    if index is not None and index >= len(images):
        raise ValueError(f"--image {index}: there are {len(images)} test images, counted from 0")
    chosen = most_colourful(images) if index is None else index
    figure = contact_sheet(images[chosen], names, severities, seed, index=chosen, frost_dir=frost_dir, table=table)
    save_figure(path, figure, dpi="figure")
