"""`freqfast evaluate`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from freqfast.cli.command import complete_corruption, complete_run
from freqfast.cli.errors import print_error
from freqfast.cli.evaluation_report import present
from freqfast.cli.evaluation_sources import check_merged, is_result, load_models, load_result, merge_results
from freqfast.cli.files import FORMATS, check_data, check_exists, check_output, check_record, write
from freqfast.cli.image_files import (
    ClassList,
    Crop,
    FileOptions,
    Interpolation,
    Labels,
    Resize,
    SkipBad,
    choose_among,
    class_names,
    corrupted_test_set,
    stored_tree,
)
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import (
    KINDS,
    Collection,
    Device,
    Mean,
    ModelOptions,
    Precision,
    Pretrained,
    Std,
    Weights,
    check_model,
    given,
    refuse,
    refuse_frost_dir,
)
from freqfast.cli.output import progress_bar, say, typed_command

from freqfast.corruptions.tables import TableChoice

if TYPE_CHECKING:
    from freqfast.robustness import CellSource

_image_option = partial(typer.Option, rich_help_panel="Images (one of the first three)")
_result_option = partial(typer.Option, rich_help_panel="Results")
_USED_BY_MERGE = {"models", "baseline", "out", "merge", "as_json", "csv", "figure"}


def evaluate(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", autocompletion=complete_run, help=f"{KINDS} With --merge: result files."),
    ],
    cifar10c: Annotated[
        Path | None,
        _image_option(
            "--cifar10c",
            metavar="PATH",
            help="A folder of labels.npy and <corruption>.npy, a tree of image files as ImageNet-C's, or the published "
            "CIFAR-10-C.tar; by default the published images, if the cache has them.",
        ),
    ] = None,
    download: Annotated[
        bool, _image_option("--download", help="The published images, 2.7 GiB, checked and cached.")
    ] = False,
    on_the_fly: Annotated[bool, _image_option("--on-the-fly", help="Corrupt the test set in memory.")] = False,
    data: Annotated[
        str | None,
        _image_option(
            metavar="PATH",
            help="The uncorrupted test set: as for `run`, a folder of test images by class, or a name (cifar10, "
            "photos; write ./cifar10 for a folder of that name). By default the run's (with --on-the-fly), then "
            "FREQFAST_DATA, then the cache.",
        ),
    ] = None,
    collection: Annotated[
        Collection | None,
        _image_option(metavar="c|bar", help="Only the 19 corruptions of CIFAR-10-C (c), or only ten of C-bar (bar)."),
    ] = None,
    table: Annotated[
        TableChoice,
        _image_option(metavar="NAME", help="Parameters for --on-the-fly, see `corrupt`; auto goes by the image size."),
    ] = "auto",
    corruption: Annotated[
        list[str] | None,
        _image_option(
            metavar="NAME",
            autocompletion=complete_corruption,
            help="A corruption, may be repeated; by default the 19 of CIFAR-10-C, or all that are stored.",
        ),
    ] = None,
    limit: Annotated[
        int | None, _image_option(min=1, metavar="N", help="Test images to use, from the first on; by default all.")
    ] = None,
    seed: Annotated[int, _image_option(metavar="N", help="Seed of --on-the-fly.")] = 0,
    frost_dir: Annotated[
        Path | None, _image_option(metavar="PATH", help="Folder of the frost photographs, for --on-the-fly.")
    ] = None,
    resize: Resize = None,
    crop: Crop = None,
    interpolation: Interpolation = None,
    labels: Labels = None,
    skip_bad: SkipBad = False,
    class_list: ClassList = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    mean: Mean = None,
    std: Std = None,
    device: Device = None,
    precision: Precision = "auto",
    baseline: Annotated[
        str | None,
        _result_option(
            metavar="RESULT|MODEL",
            help="Compare on the same images with this result file (--out) or model. A model is evaluated with the "
            "options of MODEL; a run or a file of freqfast keeps its own normalisation.",
        ),
    ] = None,
    baseline_weights: Annotated[
        Path | None, _result_option(metavar="PATH", help="The baseline's state dict, as --weights.")
    ] = None,
    out: Annotated[
        Path | None, _result_option("-o", "--out", metavar="FILE.json", help="Write the outcome of every image.")
    ] = None,
    shard: Annotated[
        str | None, _result_option(metavar="I/N", help="Evaluate the I-th of N parts into --out, for a job array.")
    ] = None,
    merge: Annotated[bool, _result_option("--merge", help="Report on result files, those of all shards.")] = False,
    as_json: Annotated[
        bool, _result_option("--json", help="Print the report as JSON; accuracies are fractions.")
    ] = False,
    csv: Annotated[Path | None, _result_option(metavar="FILE.csv", help="Write a row for each cell.")] = None,
    figure: Annotated[Path | None, _result_option(metavar="FILE", help="Draw accuracy by severity.")] = None,
) -> None:
    """Accuracy of a model on corrupted images: mean15, mean7, by corruption and severity, with 95 % intervals.

    The corrupted images are on disk (--cifar10c), downloaded (--download), or made from a test set (--on-the-fly). To
    split an evaluation over a job array, give each task --shard and --out; --merge puts the parts together, exactly.

    Examples:
        freqfast evaluate runs/first --on-the-fly
        freqfast evaluate runs/second --cifar10c CIFAR-10-C --baseline runs/first
        freqfast evaluate runs/first --download --collection c -o result.json
    """
    if merge:
        refuse(context, "--merge takes result files and evaluates nothing", context.params.keys() - _USED_BY_MERGE)
        for path in models:
            check_exists(path, "a result file (--out)")
    else:
        _check_models(context, models, baseline)
        _check_images(context, on_the_fly, collection)
        check_data(data)
    if shard is not None:
        later = {"baseline", "as_json", "csv", "figure"}
        refuse(context, "a shard leaves its part in --out; report with --merge", later)
        if out is None:
            raise ValueError("--shard needs --out, the file to leave its part in")
    part = _parse_shard(shard)
    check_output(csv, ("csv",))
    check_output(figure, FORMATS)
    check_output(out, ("json",), load_result, "result of freqfast evaluate")

    if merge:
        result, rival = merge_results(models, baseline)
        check_merged(out, result)
        present(result, rival, baseline or "", None, as_json, out, csv, figure)
        return

    if check_record(out, "evaluation", models[0]):
        refuse(context, f"{out} is the record of a run, of its own normalisation", {"mean", "std"})

    from freqfast.corruptions import CORRUPTIONS, SETS, find_set, find_table
    from freqfast.corruptions.registry import check_names

    files = FileOptions(resize, crop, interpolation, labels, skip_bad)
    trained = None if class_list is None else class_names(class_list)
    chosen = corruption or (SETS[collection] if collection else None)
    refuse_frost_dir(frost_dir, chosen or CORRUPTIONS)
    if on_the_fly:
        check_names(corruption or ())
    with interruptible("interrupted; no results are kept"), progress_bar() as progress:
        from freqfast.data.images import ImageData
        from freqfast.models.parts import find_parts
        from freqfast.robustness import evaluate_source
        from freqfast.robustness.archive.layout import find_stored_set
        from freqfast.robustness.archive.trees import is_tree
        from freqfast.robustness.sources import find_source
        from freqfast.runs.directory import find_run

        if collection is not None:
            chosen = find_stored_set(cifar10c, collection)

        def find_images() -> tuple["CellSource", list[str]]:
            if on_the_fly:
                run = find_run(models[0])
                which = collection or "c"
                read, told = files.for_network(sources[0], data)
                for other in sources[1:]:  # all get the same images
                    own, notes = files.for_network(other, data)
                    told += [f"{note}: stated for it, not taken" for note in notes if own != read]
                made, left = corrupted_test_set(
                    run, read, data, corruption, which, limit, seed, frost_dir, table, progress
                )
                return made, told + left
            only = chosen if collection else None
            if cifar10c is not None and is_tree(cifar10c):
                if data is None:
                    refuse(context, "a tree has its classes, and all its images count", {"labels", "skip_bad"})
                return stored_tree(cifar10c, files, sources[0], data, limit, corruption, only, progress)
            clean: str | ImageData | None = data
            skipped: list[str] = []
            if data is None:
                refuse(context, "without --data only stored arrays are read, of one size", FileOptions._fields)
            elif files.reads(data):
                whole, skipped = files.read(data, None, progress)
                clean = ImageData(data, whole.classes or (), train=whole, test=whole)  # the first is not used
            made, told = find_source(
                cifar10c, corruption, limit, only=only, download=download, data=clean, progress=progress
            )
            return made, told + skipped

        options = ModelOptions(weights, pretrained, mean, std, device, precision)
        sources, rival = load_models(options, models[0], baseline, baseline_weights)
        classifiers = [options.classifier(source) for source in sources]
        images, notes = find_images()
        if trained is None and sources[0].spec is None and images.classes is not None:
            trained = sources[0].classes
        if on_the_fly and collection is not None and images.clean is not None:
            chosen = find_set(collection, find_table(table, *images.clean.pixels.shape[1:3]))
        classifiers = choose_among(classifiers, images.classes, trained, str(data or images.name))
        result, *others = evaluate_source(
            classifiers,
            images,
            part,
            progress,
            command=typed_command(),
        )
    if shard is None:
        called = sources[1].name if others else baseline or ""
        present(result, others[0] if others else rival, called, chosen, as_json, out, csv, figure)
    else:
        write(out, result.save)
        say(f"{out}: shard {shard}, {len(result.outcomes)} cells; put all together with --merge")
    parts = {source.name: find_parts(source.module) for source in sources if source.spec is None}
    for note in notes + [f"{name} has {found}" for name, found in parts.items() if found]:
        print_error(note)


def _check_models(context: typer.Context, models: Sequence[str], baseline: str | None) -> None:
    """Raise unless there is one model, with the options that it and the baseline take."""
    if is_result(models[0]):
        raise ValueError(f"{models[0]} is a result, not a model; pass --merge to report on it")
    if len(models) > 1:
        raise ValueError(
            f"one model at a time, got {', '.join(models)}; compare two with --baseline {models[1]}, or put result "
            "files together with --merge"
        )
    if baseline is None or is_result(baseline):
        refuse(context, "--baseline names no model", {"baseline_weights"})
        check_model(models[0])
    else:
        check_model(models[0], baseline)


def _check_images(context: typer.Context, on_the_fly: bool, collection: str | None) -> None:
    """Raise if the options that name the images do not go together."""
    if len(named := given(context, {"cifar10c", "download", "on_the_fly"})) > 1:
        raise ValueError(f"the images come from one place, got {' and '.join(named)}")
    if not on_the_fly:
        refuse(context, "stored images have been corrupted already", {"seed", "frost_dir", "table"})
    if collection is not None:
        refuse(context, "--collection names the corruptions", {"corruption"})


def _parse_shard(text: str | None) -> tuple[int, int]:
    """``i/n`` as numbers; whether they make sense is known once the cells are."""
    number, slash, count = (text or "1/1").partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal():
        raise ValueError(f"--shard {text}: write I/N, such as 1/4")
    return int(number), int(count)
