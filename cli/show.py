"""`freqfast show`."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.errors import one_line
from freqfast.cli.output import console, percent, say
from freqfast.cli.terminal import BandBar, band_mark
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from freqfast.spectra import Spectra

__all__ = ["show"]


def show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An HDF5 file that freqfast wrote.")],
    layer: Annotated[str | None, typer.Option(help="Name of the layer; the file's first by default.")] = None,
    number: Annotated[int | None, typer.Option("--filter", min=0, help="Draw this filter's power spectrum.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; shares and proportions are fractions.")] = False,
) -> None:
    """Show exported spectra: the filters with their bands and energy, and the layer's proportion by band."""
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
        from freqfast.cli.spectrum_picture import spectrum_text

        shares = ", ".join(
            f"{name} {percent(share)} %" for name, share in zip(_names(shown), shown.shares[number], strict=True)
        )
        text = f"filter {number}: {_class(shown, number)}, energy {shown.energy[number]:.4g}; {shares}\n"
        say(text)
        console.print(spectrum_text(shown, number, console))
        return
    if len(layers) > 1:
        console.print(_layer_table(layers))
    console.print(_proportion_table(shown))
    console.print(_filter_table(shown))


def _print_head(path: Path, spectra: "Spectra") -> None:
    """Lines that the terminal wraps, so that a log has each fact on one."""
    filters, channels, height, width = spectra.weight.shape
    n = len(spectra.frequencies)
    text = Text(
        f"{path}: layer {_layer(spectra)}, {filters} filters of {channels}x{height}x{width}, spectra of {n}x{n} points"
    )
    facts = [f"{one_line(name)} {one_line(value)}" for name, value in sorted(spectra.provenance.items())]
    if spectra.history is not None:
        facts.append(f"{len(spectra.history.epochs)} records up to epoch {spectra.history.epochs[-1]}")
    if facts:
        text.append("\n" + "; ".join(facts))
    text.append("\nbands in cycles/pixel:")
    for i, name in enumerate(_names(spectra)):
        lower, upper = spectra.bands.edges[i : i + 2]
        text.append(", " if i else " ").append_text(band_mark(name, i, 1, console))
        text.append(f" {name} {lower:.3f} to {upper:.3f}")
    say(text)


def _names(spectra: "Spectra") -> list[str]:
    return [one_line(name) for name in spectra.bands.names]


def _layer(spectra: "Spectra") -> str:
    return one_line(spectra.layer) or "(the model itself)"


def _class(spectra: "Spectra", number: int) -> str:
    """Name of a filter's band."""
    return _names(spectra)[spectra.classes[number]] if spectra.energy[number] else "silent"


def _table(title: str) -> Table:
    """An empty table, without lines between the columns where the terminal is narrow."""
    if console.width >= 70:
        return Table(title=title, title_justify="left")
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=0)


def _layer_table(layers: "list[Spectra]") -> Table:
    """The layers of the file; bars show their frequency proportion."""
    names = _names(layers[0])
    table = _table("layers, proportion of the filters by band in percent")
    short = max(len(_layer(spectra)) for spectra in layers) <= 14
    table.add_column("layer", overflow="fold", no_wrap=short)  # where there is no room, the bars give way first
    table.add_column("weight", no_wrap=True)
    table.add_column("proportion")
    for name in names if len(names) <= 3 else ():
        table.add_column(name, justify="right", no_wrap=True)
    for spectra in layers:
        cells = [f"{100 * share:.0f}" for share in spectra.proportion] if len(names) <= 3 else []
        bar = BandBar(names, spectra.proportion, 16)
        table.add_row(_layer(spectra), "x".join(map(str, spectra.weight.shape)), bar, *cells)
    return table


def _proportion_table(spectra: "Spectra") -> Table:
    """Share of the filters by band, the enforced one beside it, and the share of energy."""
    table = _table(f"frequency proportion of {_layer(spectra)}, percent")
    table.add_column("band", overflow="fold")
    for name in ("filters", "proportion", "target", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    targets = [None] * len(spectra.bands) if spectra.target is None else list(spectra.target.values())
    for i, name in enumerate(_names(spectra)):
        table.add_row(
            name,
            str(int((spectra.classes == i).sum())),
            percent(spectra.proportion[i]),
            percent(targets[i]),
            percent(spectra.energy_proportion[i]),
        )
    return table


def _filter_table(spectra: "Spectra") -> Table:
    """Each filter's band, energy and energy by band."""
    names = _names(spectra)
    table = _table(f"filters of {_layer(spectra)}, energy by band in percent")
    table.add_column("filter", justify="right", no_wrap=True)
    table.add_column("class", no_wrap=True)
    table.add_column("energy", justify="right", no_wrap=True)
    table.add_column("shares")
    for name in names if len(names) <= 3 else ():  # more do not fit 80 columns; --json has them
        table.add_column(name, justify="right", no_wrap=True)
    for i, shares in enumerate(spectra.shares):
        cells = [f"{100 * share:.1f}" for share in shares] if len(names) <= 3 else []
        table.add_row(str(i), _class(spectra, i), f"{spectra.energy[i]:.4g}", BandBar(names, shares, 24), *cells)
    return table


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
            "class": names[spectra.classes[i]],
            "energy": float(energy[i]),
            "shares": dict(zip(names, spectra.shares[i].tolist(), strict=True)),
        }
        for i in (range(len(energy)) if number is None else [number])
    ]
    if number is not None:
        filters[0] |= {"frequencies_cpp": spectra.frequencies.tolist(), "power": spectra.power[number].tolist()}
    return {"layer": spectra.layer, "shape": list(spectra.weight.shape), "bands": bands, "filters": filters}
