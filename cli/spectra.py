"""`freqfast spectra`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from freqfast.cli.command import option
from freqfast.cli.errors import print_error
from freqfast.cli.files import check_output, write
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import AsJson, Force, Model, NetworkOptions, check_model, takes_network
from freqfast.cli.output import print_json, progress_bar, proportion_text, say, typed_command

from freqfast.files import file_sha256

if TYPE_CHECKING:
    from torch import nn

    from freqfast.spectra import Spectra


@takes_network
def spectra(
    model: Model,
    network: NetworkOptions,
    out: Annotated[Path, option("FILE.h5", "The HDF5 file to write.", "-o", "--out")],
    layers: Annotated[
        str | None,
        option(
            "NAME,...",
            "Names of the convolutions, separated by commas, or all that can be measured; the first by default.",
            "--layers",
            "--layer",
        ),
    ] = None,
    points: Annotated[int, option("N", "Points per axis of the spectra.", max=512)] = 32,
    bands: Annotated[int, option("N", "Number of bands of equal area.", min=1, max=16)] = 2,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Export filters and their power spectra to HDF5, for silx, h5web, HDFView, xarray or h5py.

    Examples:
        freqfast spectra runs/first -o filters.h5
        freqfast spectra torchvision:resnet18 --pretrained -o filters.h5 --layers all
    """
    check_model(model)
    check_output(out, ("h5", "hdf5", "nxs"), [model, network.weights], force, model)
    from freqfast.runs.directory import RunDirectory, find_run

    run = find_run(model) or RunDirectory(model)
    with interruptible(), progress_bar() as progress:
        from freqfast.spectra import measure_layers, spatial_layers
        from freqfast.spectra.h5 import write_spectra
        from freqfast.spectral.bands import Bands

        source = network.load(model, sees_images=False)
        if layers is None:
            names: list[str] | None = spatial_layers(source.module)[:1]
        else:
            names = None if layers == "all" else [name.strip() for name in layers.split(",") if name.strip()]
        provenance = {"source": model, "command": typed_command()}
        if source.weights is not None:
            provenance["sha256"] = file_sha256(source.weights)
        measured = measure_layers(source.module, names, Bands.equal_area(bands), points, provenance, progress)
    measured = _with_record(measured, run.spectra, source.module)
    write(out, lambda path: write_spectra(path, measured))
    if as_json:
        by_band = [dict(zip(each.bands.names, each.proportion.tolist(), strict=True)) for each in measured]
        told = [
            {"layer": each.layer, "filters": len(each.power), "proportion": share}
            for each, share in zip(measured, by_band, strict=True)
        ]
        print_json({"file": str(out), "layers": told})
    first = measured[0]
    shares = proportion_text(first.bands.names, first.proportion.tolist())
    more = f"; {len(measured)} layers, {sum(len(layer.power) for layer in measured)} filters in all"
    summary = f"{out}: {len(first.power)} filters of layer {first.layer or '(the model itself)'}, {shares}"
    say(summary + more * (len(measured) > 1))
    say(f'open it: xarray.open_dataset("{out}", group="entry/spectra", engine="h5netcdf")')


def _with_record(measured: "list[Spectra]", record: Path, model: "nn.Module") -> "list[Spectra]":
    """The layers with what their run recorded in training: provenance, target and history of the same spectra."""
    from freqfast.spectra import are_spectra_of
    from freqfast.spectra.h5 import read_spectra

    if not record.exists():  # no run, or one from before its end
        return measured
    try:
        recorded = read_spectra(record)
        if not are_spectra_of(model, recorded):
            raise ValueError(f"{record} is of another model than the run's")
    except ValueError as error:  # damaged, or another run's: the export is what repairs it
        print_error(f"exported without the run's target and history: {error}")
        return measured
    layers: list[Spectra] = []
    for one in measured:
        is_same = (one.layer, one.bands) == (recorded.layer, recorded.bands)
        is_whole = is_same and not layers and one.power.shape == recorded.power.shape  # the first has the history
        target, history = recorded.target if is_same else None, recorded.history if is_whole else None
        provenance = {**recorded.provenance, **one.provenance}
        layers.append(replace(one, target=target, history=history, provenance=provenance))
    return layers
