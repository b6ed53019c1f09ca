"""`freqfast heatmap`, `reliance`, `ablation` and `quality`."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from freqfast.cli.errors import print_error
from freqfast.cli.evaluate_options import KINDS, Classes, Device, Mean, ModelOptions, Precision, Std, Weights
from freqfast.cli.files import FORMATS, check_output, save_figure
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import refuse, refuse_classes
from freqfast.cli.output import console, percent, progress_bar, say
from rich.table import Table

from freqfast.progress import Progress

if TYPE_CHECKING:
    from freqfast.analysis import Analysis
    from freqfast.data.images import ImageData
    from freqfast.models.sources import SourcedModel
    from freqfast.runs.directory import RunDirectory

__all__ = ["ablation", "heatmap", "quality", "reliance"]

Model = Annotated[str, typer.Argument(metavar="MODEL", help=KINDS)]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Draw the figure (.png, .svg or .pdf).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was found as JSON; accuracies are fractions.")]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Where the data is, as for `freqfast run`, or a name (cifar10, photos; write ./cifar10 for a folder of "
        "that name); by default where the run's was, else CIFAR-10.",
    ),
]
Images = Annotated[int, typer.Option(min=1, help="Test images to use, from the first on.")]
ExactPrecision = Annotated[
    Literal["auto", "bfloat16", "float32"],
    typer.Option(
        help="bfloat16 rounds pixels, and an equalizer would raise that noise where all frequencies are taken out.",
        rich_help_panel="Model",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of what is random.")]
BandCount = Annotated[int, typer.Option(min=1, max=16, help="Number of bands of equal area.")]
Layer = Annotated[str | None, typer.Option(help="Name of the convolution; the first spatial one by default.")]


def heatmap(
    context: typer.Context,
    model: Model,
    data: Data = None,
    images: Images = 1000,
    norm: Annotated[float, typer.Option(help="L2 norm of the perturbation of each channel, pixels in [0, 1].")] = 4.0,
    seed: Seed = 0,
    output: Output = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    classes: Classes = 10,
    device: Device = None,
    precision: Precision = "auto",
) -> None:
    """Fourier heat map: the error when a wave of each spatial frequency is added to the test images.

    After Yin et al. (2019). Of a run, kept in its directory as analysis/heatmap.json, for `freqfast report`.
    """
    from freqfast.analysis import fourier_heat_map
    from freqfast.analysis.heat_map import check_norm
    from freqfast.spectral.bands import Bands

    check_norm(norm)  # before the data is sought
    bands = Bands.equal_area(2)

    analyse = partial(fourier_heat_map, norm=norm, seed=seed)
    options = ModelOptions(weights, mean, std, classes, device, precision)
    source = _load(context, model, options, output)
    found = _measure(source, options, data, images, analyse)
    errors = zip(bands.names, found.band_error(bands), strict=True)
    lines = [
        f"error without perturbation: {percent(found.clean_error)} %",
        f"mean error at L2 norm {found.norm:g}: {percent(float(found.error.mean()))} %",
        *(f"mean error at {name} frequencies: {percent(float(error))} %" for name, error in errors),
    ]
    _deliver(source, found, lines, output, as_json)


def reliance(
    context: typer.Context,
    model: Model,
    data: Data = None,
    images: Images = 1000,
    output: Output = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    classes: Classes = 10,
    device: Device = None,
    precision: ExactPrecision = "float32",
) -> None:
    """Frequency reliance: accuracy on low-, high- and band-pass filtered test images.

    Of a run, kept in its directory as analysis/reliance.json, for `freqfast report`.
    """
    from freqfast.analysis import frequency_reliance

    options = ModelOptions(weights, mean, std, classes, device, precision)
    source = _load(context, model, options, output)
    found = _measure(source, options, data, images, frequency_reliance)
    table = Table(title="accuracy in percent by cut-off in cycles/pixel")
    for name in ("cut-off", "below it kept", "from it on kept", "one step kept"):
        table.add_column(name, justify="right")
    for row in zip(found.cutoffs, found.low, found.high, found.band, strict=True):
        table.add_row(f"{row[0]:.2f}", *(percent(float(value)) for value in row[1:]))
    _deliver(source, found, [table, f"on whole images: {percent(found.clean)} %"], output, as_json)


def ablation(
    context: typer.Context,
    model: Model,
    data: Data = None,
    images: Images = 1000,
    bands: BandCount = 2,
    layer: Layer = None,
    seed: Seed = 0,
    output: Output = None,
    as_json: AsJson = False,
    weights: Weights = None,
    mean: Mean = None,
    std: Std = None,
    classes: Classes = 10,
    device: Device = None,
    precision: ExactPrecision = "float32",
) -> None:
    """Band ablation: accuracy without a band's filters, and without the band in every filter's response.

    Nothing is retrained, and BatchNorm is not recalibrated. Of a run, kept in its directory as analysis/ablation.json.
    """
    from freqfast.analysis import ablate_bands

    analyse = partial(ablate_bands, bands=bands, layer=layer, seed=seed)
    options = ModelOptions(weights, mean, std, classes, device, precision)
    source = _load(context, model, options, output, layer)
    found = _measure(source, options, data, images, analyse)
    table = Table(title=f"accuracy in percent without a band, layer {found.layer}")
    for name in ("band", "filters", "without them", "as many at random", "without its frequencies"):
        table.add_column(name, justify="left" if name == "band" else "right")
    for b, name in enumerate(found.bands.names):
        values = (found.filters[b], found.control[b], found.response[b])
        table.add_row(name, str(found.counts[b]), *(percent(float(value)) for value in values))
    _deliver(source, found, [table, f"whole model: {percent(found.clean)} %"], output, as_json)


def quality(
    context: typer.Context,
    model: Model,
    layer: Layer = None,
    output: Output = None,
    as_json: AsJson = False,
    weights: Weights = None,
    classes: Classes = 10,
) -> None:
    """Filter quality: sparsity, variance entropy and orthogonality (Gavrikov and Keuper, 2022); needs no data.

    Of a run, kept in its directory as analysis/quality.json, for `freqfast report`.
    """
    from freqfast.analysis import filter_quality
    from freqfast.spectral.modulation import effective_weight
    from freqfast.spectral.surgery import find_conv

    options = ModelOptions(weights, "0,0,0", "1,1,1", classes, None, "float32")  # it sees no pixels
    source = _load(context, model, options, output, layer)
    name, conv = find_conv(source.model, layer)
    found = filter_quality(effective_weight(conv).float().cpu().numpy(), name)
    lines = [
        f"layer {found.layer}: {found.kernels} kernels",
        f"sparsity: {percent(found.sparsity)} %",
        f"variance entropy: {found.variance_entropy:.3f} (Gaussian kernels: {found.random_entropy:.3f})",
        f"orthogonality: {found.orthogonality:.3f}",
    ]
    _deliver(source, found, lines, output, as_json)


def _load(
    context: typer.Context, model: str, options: ModelOptions, output: Path | None, layer: str | None = None
) -> "SourcedModel":
    """The model that is named, once it is known to have the layer, and its figure a place."""
    from freqfast.runs.directory import find_run
    from freqfast.spectral.surgery import find_conv

    check_output(output, FORMATS)
    refuse_classes(context, model)
    source = options.load(model)
    if (run := find_run(model)) is not None:
        refuse(context, f"what is kept in {run.path} must be of its own normalisation", {"mean", "std"})
    find_conv(source.model, layer)
    return source


def _measure(
    source: "SourcedModel", options: ModelOptions, data: str | None, images: int, analyse: Callable[..., Any]
) -> Any:
    """What an analysis finds on test images; all but the data has been checked before the data is sought."""
    from freqfast.data.images import data_hash
    from freqfast.robustness.evaluation import check_fit
    from freqfast.runs.directory import find_run

    classifier = options.classifier(source)
    with interruptible(), progress_bar() as progress:
        loaded = _load_data(source, data, progress)
        run = find_run(source.name)
        sample = loaded.hold_out(run.read_recipe().holdout if run else 0).test.head(images)
        check_fit(classifier, sample.images[:2], sample.labels, loaded.name, loaded.classes)
        found = analyse(classifier, sample.images, sample.labels, progress=progress)
    return replace(found, data=loaded.name, data_sha256=data_hash(loaded))


def _load_data(source: "SourcedModel", data: str | None, progress: Progress) -> "ImageData":
    """The data that is named, else that of the model's run, else CIFAR-10; of the model's classes, where it has any."""
    from freqfast.data.loading import load_place
    from freqfast.models.sources import check_classes
    from freqfast.runs.directory import find_run
    from freqfast.runs.run import run_data

    place = data or run_data(find_run(source.name))
    loaded = load_place(place, progress)
    check_classes(source.name, source.classes, place or loaded.name, loaded.classes)
    return loaded


def _deliver(
    source: "SourcedModel", found: "Analysis", lines: Sequence[str | Table], output: Path | None, as_json: bool
) -> None:
    """Keep what was found in the run directory, if there is one, draw it and print it.

    A figure that fails costs nothing else, nor does a reader who has gone.
    """
    from freqfast.runs.directory import find_run

    run = find_run(source.name)
    kept = None if run is None else _keep(run, found)
    try:
        if output is not None:
            from freqfast.report.analysis import analysis_figure

            save_figure(output, analysis_figure({(run.path if run else Path(source.name)).resolve().name: found}))
    finally:
        if as_json:
            print(json.dumps(found.to_dict(), indent=2))
        else:
            for line in lines:
                console.print(line, soft_wrap=isinstance(line, str))
    if not as_json:
        for path in filter(None, (kept, output)):
            say(f"written: {path}")


def _keep(run: "RunDirectory", found: "Analysis") -> Path | None:
    """Write what was found into a run, unless on other data than the run's; where it is not kept a line says why."""
    from freqfast.analysis import ImageAnalysis, write_analysis

    own = None
    with suppress(OSError, ValueError):  # of a corrupt environment
        own = run.read_environment().data.sha256
    if isinstance(found, ImageAnalysis) and own is not None and found.data_sha256 != own:
        hashes = f"SHA-256 {str(found.data_sha256)[:12]}..., the run's {str(own)[:12]}..."
        print_error(f"not kept in the run: {found.data} is other data than that of {run.path} ({hashes})")
        return None
    path = run.analysis(found.kind)
    try:
        path.parent.mkdir(exist_ok=True)
        write_analysis(path, found)
    except OSError as error:  # what was found is worth more than the file
        print_error(f"not kept in the run: {error}")
        return None
    return path
