"""`freqfast show`."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from freqfast.cli.output import console, percent
from freqfast.cli.terminal import band_bar, spectrum_text
from rich.table import Table

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
    from freqfast.spectra_h5 import read_layers, read_spectra

    layers = read_layers(path) if layer is None and number is None else [read_spectra(path, layer)]
    shown = layers[0]
    if number is not None and number >= len(shown.power):
        raise ValueError(f"layer {shown.layer} has no filter {number}; its filters are 0 to {len(shown.power) - 1}")
    if as_json:
        print(json.dumps(_content(path, layers, number), indent=2, allow_nan=False))
        return
    _print_head(path, shown)
    if number is not None:
        shares = ", ".join(
            f"{name} {percent(share)} %" for name, share in zip(shown.bands.names, shown.shares[number], strict=True)
        )
        console.print(f"filter {number}: {_class(shown, number)}, energy {shown.energy[number]:.4g}; {shares}\n")
        console.print(spectrum_text(shown, number, console))
        return
    if len(layers) > 1:
        console.print(_layer_table(layers))
    console.print(_proportion_table(shown))
    console.print(_filter_table(shown))


def _print_head(path: Path, spectra: "Spectra") -> None:
    filters, channels, height, width = spectra.weight.shape
    n = len(spectra.frequencies)
    console.print(
        f"{path}: layer {spectra.layer or '(the model itself)'}, {filters} filters, {channels} input channels, "
        f"{height}x{width} kernels, spectra of {n}x{n} points",
        soft_wrap=True,
    )
    facts = [f"{name} {_printable(value)}" for name, value in sorted(spectra.provenance.items())]
    if spectra.history is not None:
        facts.append(f"{len(spectra.history.epochs)} records up to epoch {spectra.history.epochs[-1]}")
    if facts:
        console.print("; ".join(facts))


def _printable(value: object) -> str:
    """A provenance value on one line, without control characters that a terminal would obey."""
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= 200 else f"{text[:200]}..."


def _class(spectra: "Spectra", number: int) -> str:
    """Name of a filter's band."""
    return spectra.bands.names[spectra.classes[number]] if spectra.energy[number] else "silent"


def _layer_table(layers: "list[Spectra]") -> Table:
    """The layers of the file; bars show their frequency proportion."""
    table = Table(title="layers", title_justify="left")
    for name in ("layer", "filters", "kernel"):
        table.add_column(name, justify="left" if name == "layer" else "right", overflow="fold")
    table.add_column("share of the filters", no_wrap=True)
    table.add_column(", ".join(layers[0].bands.names), justify="right")
    for spectra in layers:
        _, channels, height, width = spectra.weight.shape
        shares = ", ".join(f"{100 * share:.0f}" for share in spectra.proportion)
        bar = band_bar(spectra.bands.names, spectra.proportion, 16, console)
        table.add_row(spectra.layer, str(len(spectra.power)), f"{channels}x{height}x{width}", bar, f"{shares} %")
    return table


def _proportion_table(spectra: "Spectra") -> Table:
    """Share of the filters by band, the enforced one beside it, and the share of energy."""
    table = Table(title=f"frequency proportion of {spectra.layer}, percent", title_justify="left")
    table.add_column("band")
    table.add_column("cycles/pixel")
    for name in ("filters", "proportion", "target", "energy"):
        table.add_column(name, justify="right")
    for i, name in enumerate(spectra.bands.names):
        lower, upper = spectra.bands.edges[i : i + 2]
        table.add_row(
            name,
            f"{lower:.3f} to {upper:.3f}",
            str(int((spectra.classes == i).sum())),
            percent(spectra.proportion[i]),
            percent(None if spectra.target is None else spectra.target[name]),
            percent(spectra.energy_proportion[i]),
        )
    return table


def _filter_table(spectra: "Spectra") -> Table:
    """Each filter's band, energy and energy by band."""
    names = spectra.bands.names
    table = Table(title=f"filters of {spectra.layer}, energy by band in percent", title_justify="left")
    table.add_column("filter", justify="right")
    table.add_column("class")
    table.add_column("energy", justify="right")
    table.add_column("shares", no_wrap=True)
    for name in names if len(names) <= 3 else ():  # more do not fit 80 columns; --json has them
        table.add_column(name, justify="right")
    for i, shares in enumerate(spectra.shares):
        cells = [f"{100 * share:.1f}" for share in shares] if len(names) <= 3 else []
        bar = band_bar(names, shares, 24, console)
        table.add_row(str(i), _class(spectra, i), f"{spectra.energy[i]:.4g}", bar, *cells)
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
