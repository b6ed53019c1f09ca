"""`freqfast show`."""

import math
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.command import complete_run, option
from freqfast.cli.files import check_exists
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import AsJson
from freqfast.cli.output import (
    CleanTable,
    command_text,
    console,
    percent,
    print_json,
    progress_bar,
    proportion_text,
    say,
)
from freqfast.cli.run_report import resume_command, run_table

if TYPE_CHECKING:
    from freqfast.runs.directory import RunDirectory
    from freqfast.spectra import Spectra

_RING_CPP = 1 / 16  # width of the rings of radial frequency by which a filter's power is shown


def show(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            autocompletion=complete_run,
            help="A run directory, or an HDF5 file that freqfast wrote.",
        ),
    ],
    layer: Annotated[str | None, option("NAME", "Name of the layer; the file's first by default.")] = None,
    number: Annotated[int | None, option("N", "Show this filter's power by frequency.", "--filter", min=0)] = None,
    provenance: Annotated[bool, typer.Option("--provenance", help="Say where the spectra come from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run or exported spectra: each filter's band and energy, and the layer's frequency proportion.

    A finished run's accuracy is shown too.

    Examples:
        freqfast show runs/first
        freqfast show filters.h5 --layer conv1 --filter 3
    """
    check_exists(path, "a run directory, or an HDF5 file that `freqfast spectra` or a run wrote")

    from freqfast.runs.directory import RunDirectory

    run = RunDirectory(path) if path.is_dir() else None
    if run is not None:
        path = run.spectra
        run.read_recipe()  # refuses any other folder
        if number is None and not as_json:
            if run.is_finished:
                console.print(run_table(run))
            elif path.exists():
                say(f"{run.path} is not finished; its spectra are those that it ended training with")
        if not path.exists():
            way_out = command_text("spectra", run.path, "-o", path) if run.is_finished else resume_command(run.path)
            raise FileNotFoundError(f"{path} is missing; `{way_out}` writes it")

    with interruptible(), progress_bar():
        from freqfast.spectra.h5 import read_layers, read_spectra

        layers = read_layers(path) if layer is None and number is None else [read_spectra(path, layer)]
    first = layers[0]
    if number is not None and number >= len(first.power):
        raise ValueError(f"layer {first.layer} has no filter {number}; its filters are 0 to {len(first.power) - 1}")
    content: dict[str, Any] = {
        "file": str(path),
        "run": _accuracy(run) if run is not None and run.is_finished else None,
        "provenance": {k: v if isinstance(v, str) or math.isfinite(v) else None for k, v in first.provenance.items()},
        "layers": [_content(spectra, number) for spectra in layers],
    }
    if as_json:
        print_json(content)
        return
    shapes = ["x".join(map(str, spectra.weight.shape)) for spectra in layers]
    facts = [f"{path}: layer {first.layer or '(the model itself)'}, weight {shapes[0]}"]
    if provenance:
        facts += [f"{name} {value}" for name, value in sorted(first.provenance.items())]
    if first.history is not None:
        facts.append(f"{len(first.history.epochs)} records up to epoch {first.history.epochs[-1]}")
    say("; ".join(facts))
    if len(layers) > 1:
        names = [spectra.layer for spectra in layers]
        shares = [proportion_text(spectra.bands.names, spectra.proportion.tolist()) for spectra in layers]
        _print_table("layers", ("layer", "weight", "filters by band"), zip(names, shapes, shares, strict=True))
    _print_layer(content["layers"][0])


def _accuracy(run: "RunDirectory") -> dict[str, Any]:
    """Accuracies of a finished run as its table shows them, and by corruption; None for what was not measured."""
    from freqfast.corruptions import MEANS

    report = run.read_report()
    by_corruption = {name: fmean(cells.values()) for name, cells in report.accuracy.items()}
    mean7 = [by_corruption[name] for name in MEANS["mean7"] if name in by_corruption]
    accuracy = {name: getattr(report, name) for name in ("clean", "corrupted", "mean15")}
    accuracy["mean7"] = fmean(mean7) if len(mean7) == len(MEANS["mean7"]) else None
    return {**accuracy, "accuracy": by_corruption}


def _content(spectra: "Spectra", number: int | None) -> dict[str, Any]:
    """What the tables of a layer show, as JSON values; of one filter also its spectrum."""
    names, energy = spectra.bands.names, spectra.energy.tolist()
    target = dict.fromkeys(names) if spectra.target is None else spectra.target
    shares = spectra.proportion.tolist(), target.values(), spectra.energy_proportion.tolist()
    keys = ("name", "edges_cpp", "proportion", "target", "energy_proportion")
    rows = zip(names, pairwise(spectra.bands.edges), *shares, strict=True)
    filters = [
        {
            "filter": i,
            "class": names[spectra.band_index[i]] if energy[i] else "silent",
            "energy": energy[i],
            "shares": dict(zip(names, spectra.shares[i].tolist(), strict=True)),
        }
        for i in (range(len(energy)) if number is None else [number])
    ]
    if number is not None:
        filters[0] |= {"frequencies_cpp": spectra.frequencies.tolist(), "power": spectra.power[number].tolist()}
        filters[0]["decibels_by_radius_cpp"] = _decibels(spectra, number)
    bands = [dict(zip(keys, row, strict=True)) for row in rows]
    return {"layer": spectra.layer, "shape": spectra.weight.shape, "bands": bands, "filters": filters}


def _decibels(spectra: "Spectra", number: int) -> dict[float, float]:
    """A filter's mean power in dB below its peak (-120 at the least) by radial frequency in cycles/pixel."""
    import numpy as np

    rings = _RING_CPP * np.rint(np.hypot(*np.meshgrid(spectra.frequencies, spectra.frequencies)) / _RING_CPP)
    power = spectra.power[number] / (spectra.power[number].max() or 1)
    means = {radius: float(power[rings == radius].mean()) for radius in np.unique(rings).tolist()}
    return {radius: 10 * math.log10(max(mean, 1e-12)) for radius, mean in means.items()}


def _print_layer(layer: dict[str, Any]) -> None:
    """Print tables of a layer's bands and filters, and of the power of a filter that was asked for."""
    rows = []
    for band in layer["bands"]:
        shares = (percent(band[name]) for name in ("proportion", "target", "energy_proportion"))
        rows.append((band["name"], "{:.3f} to {:.3f}".format(*band["edges_cpp"]), *shares))
    _print_table("bands, shares in percent", ("band", "cycles/pixel", "filters", "target", "energy"), rows)
    rows = []
    for one in layer["filters"]:
        by_band = proportion_text([*one["shares"]], [*one["shares"].values()])
        rows.append((str(one["filter"]), one["class"], f"{one['energy']:.4g}", by_band))
    _print_table("filters", ("filter", "band", "energy", "energy by band"), rows)
    if decibels := one.get("decibels_by_radius_cpp"):
        rows = [(f"{radius:.3f}", f"{decibel:.1f}") for radius, decibel in decibels.items()]
        _print_table("mean power, 0 dB at the peak", ("cycles/pixel", "dB"), rows)


def _print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = CleanTable(title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
