"""`freqfast evaluate`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from freqfast.cli.command import complete_corruption, complete_run
from freqfast.cli.errors import print_error
from freqfast.cli.evaluation_report import present
from freqfast.cli.files import FORMATS, check_data, check_exists, check_output, write
from freqfast.cli.image_files import Crop, FileOptions, Labels, Resize, SkipBad, class_names
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import (
    KINDS,
    Classes,
    Collection,
    Device,
    Mean,
    ModelOptions,
    Precision,
    Pretrained,
    Std,
    Table,
    Weights,
    check_model,
    given,
    refuse,
    refuse_frost_dir,
)
from freqfast.cli.output import progress_bar, say, typed_command
from freqfast.cli.ranks import share_out

if TYPE_CHECKING:
    from freqfast.corruptions.tables import TableChoice
    from freqfast.models.sources import SourcedModel
    from freqfast.progress import Progress
    from freqfast.robustness import CellSource, CorruptionResult
    from freqfast.runs.directory import RunDirectory

__all__ = ["evaluate"]

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
            help="A folder of labels.npy and <corruption>.npy, or the published CIFAR-10-C.tar; by default the "
            "published images, if the cache has them.",
        ),
    ] = None,
    download: Annotated[
        bool, _image_option("--download", help="The published images, 2.7 GiB, checked and cached.")
    ] = False,
    on_the_fly: Annotated[bool, _image_option("--on-the-fly", help="Corrupt the test set and write nothing.")] = False,
    data: Annotated[
        str | None,
        _image_option(
            metavar="PATH",
            help="The uncorrupted test set: as for `run`, or a name (cifar10, photos; write ./cifar10 for a folder of "
            "that name); else, on the fly, the run's, else FREQFAST_DATA, the cache.",
        ),
    ] = None,
    collection: Annotated[
        Collection | None,
        _image_option(metavar="c|bar", help="Only the 19 corruptions, or only the 10 of C-bar that the table has."),
    ] = None,
    table: Annotated[
        Table,
        _image_option(metavar="NAME", help="Whose parameters, for --on-the-fly: auto goes by the size, see `corrupt`."),
    ] = "auto",
    corruption: Annotated[
        list[str] | None,
        _image_option(
            metavar="NAME", autocompletion=complete_corruption, help="A corruption, may be repeated; by default all."
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
    labels: Labels = None,
    skip_bad: SkipBad = False,
    class_list: Annotated[
        Path | None,
        _image_option(metavar="FILE", help="Names of the network's classes, a line each, where the images have fewer."),
    ] = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    mean: Mean = None,
    std: Std = None,
    classes: Classes = 10,
    device: Device = None,
    precision: Precision = "auto",
    baseline: Annotated[
        str | None,
        _result_option(
            metavar="RESULT|MODEL",
            help="Compare with it on the same images: a result file (--out), or a model, which is evaluated too, with "
            "the options of MODEL; what is ours keeps its own normalisation.",
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
    """Accuracy of a model on corrupted images: mean15, mean19, by corruption and severity, with 95 % intervals.

    The images are a folder or the published archive (--cifar10c), that archive downloaded (--download), or a test set
    corrupted --on-the-fly. What --out keeps merges exactly: --shard in a job array, then --merge.

    Examples:
        freqfast evaluate runs/first --on-the-fly
        freqfast evaluate runs/second --cifar10c CIFAR-10-C --baseline runs/first
        freqfast evaluate runs/first --download --collection c -o result.json
    """
    if merge:
        share_out("merge")
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
    check_output(out, ("json",), _load_result, "result of freqfast evaluate")

    if merge:
        result, rival = _merge(models, baseline)
        present(result, rival, baseline or "", None, as_json, out, csv, figure)
        return

    from freqfast.corruptions import CORRUPTIONS, SETS, find_set, find_table
    from freqfast.corruptions.registry import check_names

    files = FileOptions(resize, crop, labels, skip_bad)
    trained = None if class_list is None else class_names(class_list)
    chosen = corruption or (SETS[collection] if collection else None)
    refuse_frost_dir(frost_dir, chosen or CORRUPTIONS)
    if on_the_fly:
        check_names(corruption or ())
    with interruptible("interrupted; no results are kept"), progress_bar() as progress:
        from freqfast.compute.ranks import current_ranks
        from freqfast.models.parts import find_parts
        from freqfast.robustness import evaluate_source
        from freqfast.robustness.archive.trees import is_tree, tree_source
        from freqfast.robustness.sources import find_source
        from freqfast.runs.directory import find_run

        def find_images() -> tuple["CellSource", list[str]]:
            if on_the_fly:
                run = find_run(models[0])
                which = collection or "c"
                return _corrupt(run, files, data, corruption, which, limit, seed, frost_dir, table, progress)
            if cifar10c is not None and is_tree(cifar10c):
                return tree_source(cifar10c, limit, chosen, resize=resize, crop=crop), []
            only = SETS[collection] if collection else None
            return find_source(cifar10c, corruption, limit, only=only, download=download, data=data, progress=progress)

        ranks = current_ranks()
        options = ModelOptions(weights, pretrained, mean, std, classes, device, precision)
        with ranks.leaving_on_error():
            sources, rival = _load(options, models[0], baseline, baseline_weights)
            classifiers = [options.classifier(source) for source in sources]
            images, notes = ranks.in_turn(find_images)
            if on_the_fly and collection is not None and images.clean is not None:
                chosen = find_set(collection, find_table(table, *images.clean.images.shape[1:3]))
            if trained is not None and images.classes is not None:
                classifiers = [classifier.among(images.classes, trained) for classifier in classifiers]
            result, *others = evaluate_source(
                classifiers,
                images,
                part,
                progress,
                command=typed_command(),
                share=ranks.map,
            )
    if not ranks.is_first:
        return
    if shard is None:
        present(result, others[0] if others else rival, baseline or "", chosen, as_json, out, csv, figure)
    else:
        write(out, result.save)
        say(f"{out}: shard {shard}, {len(result.outcomes)} cells; put all together with --merge")
    parts = {source.name: find_parts(source.model) for source in sources if source.classes is None}
    for note in notes + [f"{name} has {found}" for name, found in parts.items() if found]:
        print_error(note)


def _check_models(context: typer.Context, models: Sequence[str], baseline: str | None) -> None:
    """Raise unless there is one model, with the options that it and the baseline take."""
    if _is_result(models[0]):
        raise ValueError(f"{models[0]} is a result, not a model; pass --merge to report on it")
    if len(models) > 1:
        raise ValueError(
            f"one model at a time, got {', '.join(models)}; compare two with --baseline {models[1]}, or put result "
            "files together with --merge"
        )
    if baseline is None or _is_result(baseline):
        refuse(context, "--baseline names no model", {"baseline_weights"})
        check_model(context, models[0])
    else:
        check_model(context, models[0], baseline)


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


def _is_result(text: str) -> bool:
    return Path(text).suffix == ".json"


def _load_result(path: str | Path) -> "CorruptionResult":
    from freqfast.robustness import CorruptionResult

    return CorruptionResult.load(path)


def _merge(paths: Sequence[str], baseline: str | None) -> tuple["CorruptionResult", "CorruptionResult | None"]:
    """What result files make together, and the baseline's results."""
    if baseline is not None and not _is_result(baseline):
        raise ValueError(f"--merge evaluates nothing, so --baseline {baseline} must be a result file (--out)")

    from freqfast.robustness import CorruptionResult

    result = CorruptionResult.merge([(path, _load_result(path)) for path in paths])
    return result, None if baseline is None else _load_result(baseline)


def _load(
    options: ModelOptions, model: str, baseline: str | None, baseline_weights: Path | None
) -> tuple[list["SourcedModel"], "CorruptionResult | None"]:
    """The models to evaluate, with the baseline if that is one, else the baseline's results."""
    from freqfast.models.sources import model_kind

    if baseline is None:
        return [options.load(model)], None
    if _is_result(baseline):
        return [options.load(model)], _load_result(baseline)
    both = [(model, options), (baseline, options._replace(weights=baseline_weights))]
    kinds = [model_kind(name) for name, _ in both]
    downloads = [kind == "library" and own.weights is None for kind, (_, own) in zip(kinds, both, strict=True)]
    sources = []
    for (name, own), kind, download in zip(both, kinds, downloads, strict=True):
        if kind == "ours" and set(kinds) != {"ours"}:  # the normalisation that is given is the other's
            own = own._replace(mean=None, std=None)
        if any(downloads) and not download:
            own = own._replace(pretrained=False)
        sources.append(own.load(name))
    return sources, None


def _corrupt(
    run: "RunDirectory | None",
    files: FileOptions,
    place: str | None,
    asked: Sequence[str] | None,
    which: str,
    limit: int | None,
    seed: int,
    frost_dir: Path | None,
    table: "TableChoice",
    progress: "Progress",
) -> tuple["CellSource", list[str]]:
    """A test set to corrupt on the fly, and notes on the corruptions that cannot run here."""
    from freqfast.corruptions import SETS, find_set, find_table, runnable
    from freqfast.robustness import corrupted_source
    from freqfast.runs.run import load_run_data

    runnable(SETS[which], frost_dir)  # refuses photographs that are named and missing, before the data is read
    if files:
        images, classes, notes = files.read(place, limit, progress)
        name = Path(place or "").resolve().name
    else:
        data = load_run_data(run, place, progress)
        images, classes, name, notes = data.test.head(limit), data.classes, data.name, []
    taken = find_table(table, *images.images.shape[1:3])
    names, missing = (asked, []) if asked else runnable(find_set(which, taken), frost_dir)
    source = corrupted_source(images, names, seed, frost_dir=frost_dir, table=taken, name=name, classes=classes)
    return source, notes + missing
