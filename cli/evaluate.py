"""`freqfast evaluate`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from freqfast.cli.errors import print_error
from freqfast.cli.evaluate_options import (
    KINDS,
    Classes,
    Device,
    ImageOptions,
    Mean,
    ModelOptions,
    Precision,
    Std,
    Weights,
)
from freqfast.cli.files import FORMATS, check_output, write
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import refuse, refuse_classes, refuse_frost_dir
from freqfast.cli.output import progress_bar, say
from freqfast.cli.summary import present

if TYPE_CHECKING:
    from freqfast.models.sources import SourcedModel
    from freqfast.robustness import CorruptionResult

__all__ = ["evaluate"]

_IMAGES, _RESULTS = "Images (one of the first three)", "Results"
_Show = Callable[["CorruptionResult", "CorruptionResult | None"], None]  # presents a report, and a baseline's


def evaluate(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help=f"{KINDS} With --merge: result files."),
    ],
    cifar10c: Annotated[
        Path | None,
        typer.Option(
            "--cifar10c",
            metavar="PATH",
            help="A folder of labels.npy and <corruption>.npy, or the published CIFAR-10-C.tar; by default the "
            "published images, if the cache has them.",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option("--download", help="The published images, 2.7 GiB, checked and cached.", rich_help_panel=_IMAGES),
    ] = False,
    on_the_fly: Annotated[
        bool,
        typer.Option("--on-the-fly", help="Corrupt the test set and write nothing.", rich_help_panel=_IMAGES),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The uncorrupted test set: as for `run`, or a name (cifar10, photos; write ./cifar10 for a folder of "
            "that name); else, on the fly, the run's, else FREQFAST_DATA, the cache.",
            rich_help_panel=_IMAGES,
        ),
    ] = None,
    which: Annotated[
        Literal["c", "bar"] | None,
        typer.Option("--set", help="Only the corruptions of CIFAR-10-C or of CIFAR-10-C-bar.", rich_help_panel=_IMAGES),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A corruption, may be repeated; by default all.", rich_help_panel=_IMAGES),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Images of each severity to use, from its start.", rich_help_panel=_IMAGES)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --on-the-fly.", rich_help_panel=_IMAGES)] = 0,
    frost_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the frost photographs, for --on-the-fly.", rich_help_panel=_IMAGES),
    ] = None,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    classes: Classes = 10,
    device: Device = None,
    precision: Precision = "auto",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RESULT|RUN",
            help="Compare with it on the same images: a result file (--out), or a run or .safetensors of ours, which "
            "is then evaluated too.",
            rich_help_panel=_RESULTS,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write the outcome of every image.", rich_help_panel=_RESULTS),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Evaluate the I-th of N parts into --out, for a job array.", rich_help_panel=_RESULTS
        ),
    ] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Report on result files, those of all shards.", rich_help_panel=_RESULTS),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the report as JSON; accuracies are fractions.", rich_help_panel=_RESULTS),
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a row for each cell.", rich_help_panel=_RESULTS)
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="report.png", help="Draw accuracy by severity.", rich_help_panel=_RESULTS),
    ] = None,
) -> None:
    """Accuracy of a model on corrupted images: mean15, mean19, by corruption and severity, with 95 % intervals.

    The images are a folder or the published archive (--cifar10c), that archive downloaded (--download), or a test set
    corrupted --on-the-fly. What --out keeps merges exactly: --shard in a job array, then --merge.
    """
    from freqfast.robustness.storage import read_outcomes

    check_output(out, ("json",), read_outcomes, "result of freqfast evaluate")
    check_output(csv, ("csv",))
    check_output(figure, FORMATS)
    images = ImageOptions(cifar10c, download, on_the_fly, data, which, corruption, limit, seed, frost_dir)
    show = partial(
        present, baseline=baseline or "", chosen=images.chosen, as_json=as_json, out=out, csv=csv, figure=figure
    )
    if merge:
        _report_merged(context, models, baseline, show)
    else:
        model = ModelOptions(weights, mean, std, classes, device, precision)
        _report_evaluated(context, models, images, model, baseline, out, shard, show)


def _report_merged(context: typer.Context, paths: Sequence[str], baseline: str | None, show: _Show) -> None:
    """Report on what result files make together."""
    used = {"models", "baseline", "out", "merge", "as_json", "csv", "figure"}
    refuse(context, "--merge takes result files and evaluates nothing", context.params.keys() - used)

    from freqfast.robustness import CorruptionResult

    if baseline is not None and not _is_result(baseline):
        raise ValueError(f"--merge evaluates nothing, so --baseline {baseline} must be a result file (--out)")
    report = CorruptionResult.merge([(path, CorruptionResult.load(path)) for path in paths])
    show(report, None if baseline is None else CorruptionResult.load(baseline))


def _report_evaluated(
    context: typer.Context,
    models: Sequence[str],
    images: ImageOptions,
    model: ModelOptions,
    baseline: str | None,
    out: Path | None,
    shard: str | None,
    show: _Show,
) -> None:
    """Evaluate a model, and with it the baseline if that is one, and report; of a shard only leave its part."""
    if _is_result(models[0]):
        raise ValueError(f"{models[0]} is a result, not a model; pass --merge to report on it")
    if len(models) > 1:
        raise ValueError(
            f"one model at a time, got {', '.join(models)}; compare two with --baseline {models[1]}, or put result "
            "files together with --merge"
        )
    images.refuse(context)
    if shard is not None:
        later = {"baseline", "as_json", "csv", "figure"}
        refuse(context, "a shard leaves its part in --out; report with --merge", later)
        if out is None:
            raise ValueError("--shard needs --out, the file to leave its part in")

    from freqfast.models.sources import check_classes
    from freqfast.robustness import evaluate_source
    from freqfast.runs.directory import find_run
    from freqfast.runs.run import run_data

    refuse_classes(context, models[0])
    refuse_frost_dir(images.frost_dir, images.names)
    with interruptible("interrupted; no results are kept"):
        part = _parse_shard(shard)
        loaded = model.load(models[0])
        rivals, stored = _baseline(baseline)
        with progress_bar() as progress:
            source, notes = images.find(run_data(find_run(models[0])), progress)
            for each in (loaded, *rivals):
                check_classes(each.name, each.classes, source.name, source.classes)
            classifiers = [model.classifier(each) for each in (loaded, *rivals)]
            report, *others = evaluate_source(classifiers, source, part, progress)
    if shard is None:
        show(report, others[0] if others else stored)
    else:
        write(out, report.save)
        say(f"{out}: shard {shard}, {len(report.outcomes)} cells; put all together with --merge")
    for note in notes:
        print_error(note)


def _baseline(baseline: str | None) -> tuple[list["SourcedModel"], "CorruptionResult | None"]:
    """The baseline: a model to evaluate, or the results of one."""
    from freqfast.models.sources import load_model
    from freqfast.robustness import CorruptionResult

    if baseline is None:
        return [], None
    return ([], CorruptionResult.load(baseline)) if _is_result(baseline) else ([load_model(baseline)], None)


def _is_result(text: str) -> bool:
    return Path(text).suffix == ".json"


def _parse_shard(text: str | None) -> tuple[int, int]:
    """``i/n`` as numbers; whether they make sense is known once the cells are."""
    number, slash, count = (text or "1/1").partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal():
        raise ValueError(f"--shard {text}: write I/N, such as 1/4")
    return int(number), int(count)
