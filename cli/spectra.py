"""`freqfast spectra`."""

from pathlib import Path
from typing import Annotated

import typer
from freqfast.cli.output import console, proportion_text

__all__ = ["spectra"]


def spectra(
    run: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="A run directory or a model.safetensors.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HDF5 file to write.")],
    layer: Annotated[
        str | None, typer.Option(help="Name of the convolution; the first spatial one by default.")
    ] = None,
    points: Annotated[int, typer.Option(max=512, help="Points per axis of the spectra.")] = 32,
    bands: Annotated[int, typer.Option(min=1, max=16, help="Number of bands of equal area.")] = 2,
) -> None:
    """Export the filters and their power spectra to HDF5, for silx, h5web, HDFView, xarray or h5py."""
    from freqfast.bands import Bands
    from freqfast.run import load_checkpoint
    from freqfast.spectra import measure_spectra
    from freqfast.spectra_h5 import write_spectra

    checkpoint = load_checkpoint(run)
    measured = measure_spectra(
        checkpoint.model, layer=layer, bands=Bands.equal_area(bands), n=points, provenance={"source": str(run)}
    )
    write_spectra(output, measured)
    console.print(
        f"{output}: {len(measured.power)} filters of layer {measured.layer}, "
        f"{proportion_text(measured.bands.names, measured.proportion.tolist())}",
        soft_wrap=True,
    )
