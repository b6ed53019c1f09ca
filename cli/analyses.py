"""`freqfast heatmap`, `reliance`, `ablation` and `quality`."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from freqfast.cli.errors import print_error
from freqfast.cli.files import FORMATS, check_output, save_figure
from freqfast.cli.interrupts import interruptible
from freqfast.cli.output import console, percent, progress_bar, say
from rich.table import Table

from freqfast.progress import Progress

if TYPE_CHECKING:
    from freqfast.analysis import Analysis
    from freqfast.data.images import ImageSet
    from freqfast.model_file import StoredModel

__all__ = ["ablation", "heatmap", "quality", "reliance"]

Run = Annotated[Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run directory or a model.safetensors.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Draw the figure (.png, .svg or .pdf).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was found as JSON; accuracies are fractions.")]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Where the run's data is, as for `freqfast run`, or a name (cifar10, photos; write ./cifar10 for a folder "
        "of that name); by default where it was.",
    ),
]
Images = Annotated[int, typer.Option(min=1, help="Test images to use, from the first on.")]
Device = Annotated[
    str | None, typer.Option(help="Where to run, such as cpu or cuda:0; by default on a CUDA GPU if there is one.")
]
Precision = Annotated[
    Literal["auto", "bfloat16", "float32"], typer.Option(help="auto: bfloat16 where the device computes it natively.")
]
ExactPrecision = Annotated[
    Literal["auto", "bfloat16", "float32"],
    typer.Option(
        help="bfloat16 rounds pixels, and an equalizer would raise that noise where all frequencies are taken out."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of what is random.")]
BandCount = Annotated[int, typer.Option(min=1, max=16, help="Number of bands of equal area.")]
Layer = Annotated[str | None, typer.Option(help="Name of the convolution; the first spatial one by default.")]


def heatmap(
    run: Run,
    data: Data = None,
    images: Images = 1000,
    norm: Annotated[float, typer.Option(help="L2 norm of the perturbation of each channel, pixels in [0, 1].")] = 4.0,
    seed: Seed = 0,
    output: Output = None,
    as_json: AsJson = False,
    device: Device = None,
    precision: Precision = "auto",
) -> None:
    """Fourier heat map: the error when a wave of each spatial frequency is added to the test images.

    After Yin et al. (2019). Kept in the run directory, as analysis/heatmap.json, for `freqfast report`.
    """
    from freqfast.analysis import fourier_heat_map
    from freqfast.analysis.heat_map import check_norm
    from freqfast.bands import Bands

    check_norm(norm)  # before the data is sought
    bands = Bands.equal_area(2)

    analyse = partial(fourier_heat_map, norm=norm, seed=seed)
    found = _measure(run, data, images, device, precision, output, analyse)
    errors = zip(bands.names, found.band_error(bands), strict=True)
    lines = [
        f"error without perturbation: {percent(found.clean_error)} %",
        f"mean error at L2 norm {found.norm:g}: {percent(float(found.error.mean()))} %",
        *(f"mean error at {name} frequencies: {percent(float(error))} %" for name, error in errors),
    ]
    _deliver(run, found, lines, output, as_json)


def reliance(
    run: Run,
    data: Data = None,
    images: Images = 1000,
    output: Output = None,
    as_json: AsJson = False,
    device: Device = None,
    precision: ExactPrecision = "float32",
) -> None:
    """Frequency reliance: accuracy on low-, high- and band-pass filtered test images.

    Kept in the run directory, as analysis/reliance.json, for `freqfast report`.
    """
    from freqfast.analysis import frequency_reliance

    found = _measure(run, data, images, device, precision, output, frequency_reliance)
    table = Table(title="accuracy in percent by cut-off in cycles/pixel")
    for name in ("cut-off", "below it kept", "from it on kept", "one step kept"):
        table.add_column(name, justify="right")
    for row in zip(found.cutoffs, found.low, found.high, found.band, strict=True):
        table.add_row(f"{row[0]:.2f}", *(percent(float(value)) for value in row[1:]))
    _deliver(run, found, [table, f"on whole images: {percent(found.clean)} %"], output, as_json)


def ablation(
    run: Run,
    data: Data = None,
    images: Images = 1000,
    bands: BandCount = 2,
    layer: Layer = None,
    seed: Seed = 0,
    output: Output = None,
    as_json: AsJson = False,
    device: Device = None,
    precision: ExactPrecision = "float32",
) -> None:
    """Band ablation: accuracy without a band's filters, and without the band in every filter's response.

    Nothing is retrained, and BatchNorm is not recalibrated. Kept in the run directory, as analysis/ablation.json.
    """
    from freqfast.analysis import ablate_bands

    analyse = partial(ablate_bands, bands=bands, layer=layer, seed=seed)
    found = _measure(run, data, images, device, precision, output, analyse, layer)
    table = Table(title=f"accuracy in percent without a band, layer {found.layer}")
    for name in ("band", "filters", "without them", "as many at random", "without its frequencies"):
        table.add_column(name, justify="left" if name == "band" else "right")
    for b, name in enumerate(found.bands.names):
        values = (found.filters[b], found.control[b], found.response[b])
        table.add_row(name, str(found.counts[b]), *(percent(float(value)) for value in values))
    _deliver(run, found, [table, f"whole model: {percent(found.clean)} %"], output, as_json)


def quality(run: Run, layer: Layer = None, output: Output = None, as_json: AsJson = False) -> None:
    """Filter quality: sparsity, variance entropy and orthogonality (Gavrikov and Keuper, 2022); needs no data.

    Kept in the run directory, as analysis/quality.json, for `freqfast report`.
    """
    from freqfast.analysis import filter_quality
    from freqfast.model_file import read_model
    from freqfast.modulation import effective_weight
    from freqfast.surgery import find_conv

    check_output(output, FORMATS)
    name, conv = find_conv(read_model(run).model, layer)
    found = filter_quality(effective_weight(conv).float().cpu().numpy(), name)
    lines = [
        f"layer {found.layer}: {found.kernels} kernels",
        f"sparsity: {percent(found.sparsity)} %",
        f"variance entropy: {found.variance_entropy:.3f} (Gaussian kernels: {found.random_entropy:.3f})",
        f"orthogonality: {found.orthogonality:.3f}",
    ]
    _deliver(run, found, lines, output, as_json)


def _measure(
    run: Path,
    data: str | None,
    images: int,
    device: str | None,
    precision: str,
    output: Path | None,
    analyse: Callable[..., Any],
    layer: str | None = None,
) -> Any:
    """What an analysis finds on a run's test images; all but the data is checked before the data is sought."""
    from freqfast.model_file import read_model
    from freqfast.precision import default_device
    from freqfast.robustness import Classifier
    from freqfast.surgery import find_conv

    check_output(output, FORMATS)
    stored = read_model(run)
    find_conv(stored.model, layer)
    place = device or default_device()
    classifier = Classifier(stored.model, stored.mean, stored.std, place, precision)
    with interruptible(), progress_bar() as progress:
        sample = _test_images(run, stored, data, progress).head(images)
        return analyse(classifier, sample.images, sample.labels, progress=progress)


def _test_images(run: Path, stored: "StoredModel", data: str | None, progress: Progress) -> "ImageSet":
    """The images that a run was evaluated on: its data's test images, or those that its recipe held out."""
    from freqfast.data.loading import load_place
    from freqfast.model_sources import check_classes
    from freqfast.run import read_recipe, run_data

    holdout = read_recipe(run).holdout if (run / "recipe.toml").is_file() else 0
    place = data or run_data(run)
    loaded = load_place(place, progress)
    check_classes(str(run), stored.classes, str(place or loaded.name), loaded.classes)
    return loaded.hold_out(holdout).test


def _deliver(run: Path, found: "Analysis", lines: Sequence[str | Table], output: Path | None, as_json: bool) -> None:
    """Keep what was found in the run directory, draw it and print it.

    A figure that fails costs nothing else, nor does a reader who has gone.
    """
    from freqfast.analysis import analysis_file, write_analysis

    kept = None
    if run.is_dir():
        kept = analysis_file(run, found.kind)
        try:
            kept.parent.mkdir(exist_ok=True)
            write_analysis(kept, found)
        except OSError as error:  # what was found is worth more than the file
            print_error(f"not kept in the run: {error}")
            kept = None
    try:
        if output is not None:
            from freqfast.report.analysis import analysis_figure

            save_figure(output, analysis_figure({run.resolve().name: found}))
    finally:
        if as_json:
            print(json.dumps(found.to_dict(), indent=2))
        else:
            for line in lines:
                console.print(line, soft_wrap=isinstance(line, str))
    if not as_json:
        for path in filter(None, (kept, output)):
            say(f"written: {path}")
