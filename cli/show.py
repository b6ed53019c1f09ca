"""`freqfast show`."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.command import complete_run, option
from freqfast.cli.errors import one_line
from freqfast.cli.files import check_exists
from freqfast.cli.interrupts import interruptible
from freqfast.cli.output import CleanTable, command_text, console, percent, progress_bar, say
from freqfast.cli.run import resume_command, run_table
from rich.box import SIMPLE_HEAD
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np

    from freqfast.spectra import Spectra

_FEW = 3  # bands that have columns of their own beside the bar; more do not fit 80 columns, and --json has them


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
    number: Annotated[int | None, option("N", "Draw this filter's power spectrum.", "--filter", min=0)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; shares and proportions are fractions.")] = False,
) -> None:
    """Show a run or exported spectra: each filter's band and energy, and the layer's frequency proportion.

    A finished run's accuracy is shown too.

    Examples:
        freqfast show runs/first
        freqfast show filters.h5 --layer conv1 --filter 3
    """
    check_exists(path, "a run directory, or an HDF5 file that `freqfast spectra` or a run wrote")

    from freqfast.runs.directory import RunDirectory

    if path.is_dir():
        run = RunDirectory(path)
        run.read_recipe()  # refuses any other folder
        path = run.spectra
        if not (run.is_finished or path.exists()):
            raise FileNotFoundError(
                f"{run.path} is not finished and has no spectra yet; go on with `{resume_command(run.path)}`"
            )
        if number is None and not as_json:
            if run.is_finished:
                console.print(run_table(run))
            else:
                say(f"{run.path} is not finished; these are the spectra that it ended training with")
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; `{command_text('spectra', run.path, '-o', path)}` writes it")

    with interruptible(), progress_bar():
        from freqfast.spectra.h5 import check_readable, read_layers, read_spectra

        check_readable(path)
        layers = read_layers(path) if layer is None and number is None else [read_spectra(path, layer)]
    shown = layers[0]
    if number is not None and number >= len(shown.power):
        raise ValueError(f"layer {shown.layer} has no filter {number}; its filters are 0 to {len(shown.power) - 1}")
    if as_json:
        print(json.dumps(_content(path, layers, number), indent=2, allow_nan=False))
        return
    _print_head(path, shown)
    if number is not None:
        _print_filter(shown, number)
        return
    if len(layers) > 1:
        console.print(_layer_table(layers))
    console.print(_proportion_table(shown))
    console.print(_filter_table(shown))


def _print_head(path: Path, spectra: "Spectra") -> None:
    from freqfast.cli.pictures import band_mark

    filters, channels, height, width = spectra.weight.shape
    n = len(spectra.frequencies)
    kernels = f"{filters} filters of {channels}x{height}x{width}"
    say(f"{path}: layer {_layer(spectra)}, {kernels}, spectra of {n}x{n} points")
    facts = [f"{name} {value}" for name, value in sorted(spectra.provenance.items())]
    if spectra.history is not None:
        facts.append(f"{len(spectra.history.epochs)} records up to epoch {spectra.history.epochs[-1]}")
    if facts:
        say("; ".join(facts))
    text = Text("bands in cycles/pixel:")
    for i, name in enumerate(spectra.bands.names):
        lower, upper = spectra.bands.edges[i : i + 2]
        text.append(", " if i else " ").append_text(band_mark(name, i, 1, console))
        text.append(f" {one_line(name)} {lower:.3f} to {upper:.3f}")
    say(text)


def _print_filter(spectra: "Spectra", number: int) -> None:
    from freqfast.cli.pictures import spectrum_text

    shares = zip(spectra.bands.names, spectra.shares[number], strict=True)
    told = ", ".join(f"{name} {percent(share)} %" for name, share in shares)
    say(f"filter {number}: {_class(spectra, number)}, energy {spectra.energy[number]:.4g}; {told}")
    say("")
    console.print(spectrum_text(spectra, number, console))


def _layer(spectra: "Spectra") -> str:
    return spectra.layer or "(the model itself)"


def _class(spectra: "Spectra", number: int) -> str:
    """Name of a filter's band."""
    return spectra.bands.names[spectra.band_index[number]] if spectra.energy[number] else "silent"


def _table(title: str) -> CleanTable:
    """An empty table, without lines between the columns where the terminal is narrow."""
    if console.width >= 70:
        return CleanTable(title, title_justify="left")
    return CleanTable(title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=0)


def _layer_table(layers: "list[Spectra]") -> CleanTable:
    """The layers of the file with their frequency proportion."""
    table = _table("layers, proportion of the filters by band in percent")
    short = max(len(_layer(spectra)) for spectra in layers) <= 14
    table.add_column("layer", overflow="fold", no_wrap=short)  # where there is no room, the bars give way first
    table.add_column("weight", no_wrap=True)
    table.add_column("proportion")
    alike = all(spectra.bands == layers[0].bands for spectra in layers)
    if alike:
        _add_band_columns(table, layers[0])
    for spectra in layers:
        shape = "x".join(map(str, spectra.weight.shape))
        bar, *numbers = _band_cells(spectra, spectra.proportion, width=16, digits=0)
        table.add_row(_layer(spectra), shape, bar, *(numbers if alike else []))
    return table


def _proportion_table(spectra: "Spectra") -> CleanTable:
    """Share of the filters by band, the enforced one beside it, and the share of energy."""
    table = _table(f"frequency proportion of {_layer(spectra)}, percent")
    table.add_column("band", overflow="fold")
    for name in ("filters", "proportion", "target", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    for i, name in enumerate(spectra.bands.names):
        table.add_row(
            name,
            str(int((spectra.band_index == i).sum())),
            percent(spectra.proportion[i]),
            percent(None if spectra.target is None else spectra.target[name]),
            percent(spectra.energy_proportion[i]),
        )
    return table


def _filter_table(spectra: "Spectra") -> CleanTable:
    """Each filter's band, energy and energy by band."""
    table = _table(f"filters of {_layer(spectra)}, energy by band in percent")
    table.add_column("filter", justify="right", no_wrap=True)
    table.add_column("band", no_wrap=True)
    table.add_column("energy", justify="right", no_wrap=True)
    table.add_column("shares")
    _add_band_columns(table, spectra)
    for i, shares in enumerate(spectra.shares):
        cells = _band_cells(spectra, shares, width=24, digits=1)
        table.add_row(str(i), _class(spectra, i), f"{spectra.energy[i]:.4g}", *cells)
    return table


def _add_band_columns(table: CleanTable, spectra: "Spectra") -> None:
    """Columns beside the bar of `_band_cells`."""
    for name in spectra.bands.names if len(spectra.bands) <= _FEW else ():
        table.add_column(name, justify="right", no_wrap=True)


def _band_cells(spectra: "Spectra", shares: "np.ndarray", width: int, digits: int) -> list[Any]:
    """Shares of the bands as a bar and, if they are few, in percent."""
    from freqfast.cli.pictures import BandBar

    numbers = [f"{100 * share:.{digits}f}" for share in shares] if len(shares) <= _FEW else []
    return [BandBar(spectra.bands.names, shares, width), *numbers]


def _content(path: Path, layers: "list[Spectra]", number: int | None) -> dict[str, Any]:
    """What the tables show, as JSON values; of one filter also its spectrum."""
    provenance = {
        name: value if not isinstance(value, float) or math.isfinite(value) else None
        for name, value in layers[0].provenance.items()
    }
    return {
        "file": str(path),
        "provenance": provenance,
        "layers": [_layer_content(spectra, number) for spectra in layers],
    }


def _layer_content(spectra: "Spectra", number: int | None) -> dict[str, Any]:
    names, energy = spectra.bands.names, spectra.energy
    bands = [
        {
            "name": name,
            "edges_cpp": list(spectra.bands.edges[i : i + 2]),
            "proportion": float(spectra.proportion[i]),
            "target": None if spectra.target is None else spectra.target[name],
            "energy_proportion": float(spectra.energy_proportion[i]),
        }
        for i, name in enumerate(names)
    ]
    filters = [
        {
            "filter": i,
            "class": _class(spectra, i),
            "energy": float(energy[i]),
            "shares": dict(zip(names, spectra.shares[i].tolist(), strict=True)),
        }
        for i in (range(len(energy)) if number is None else [number])
    ]
    if number is not None:
        filters[0] |= {"frequencies_cpp": spectra.frequencies.tolist(), "power": spectra.power[number].tolist()}
    return {"layer": spectra.layer, "shape": list(spectra.weight.shape), "bands": bands, "filters": filters}
