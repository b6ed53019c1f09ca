from dataclasses import replace

import pytest
import torch
from torch import nn

from freqfast.spectra import measure_spectra
from freqfast.spectra.h5 import write_spectra
from freqfast.spectral.modulation import apply_modulation
from tests.support.finished import history_of


@pytest.fixture(scope="session")
def make_spectra():
    """Makes spectra of random filters; gains is "filter", "layer" or None."""

    def make(filters=6, channels=3, kernel=(3, 3), bands=None, n=16, epochs=0, gains=None, seed=0, **options):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(channels, filters, kernel))
        if gains:
            apply_modulation(model, per_filter=gains == "filter", seed=0)
            nn.init.normal_(model[0].log_gain)
        if epochs:
            weights = [torch.randn(filters, channels, *kernel) for _ in range(epochs)]
            log_gain = [model[0].log_gain_grid().numpy() + i for i in range(epochs)] if gains else None
            options["history"] = history_of(weights, bands, n, first=3, log_gain=log_gain)
        return measure_spectra(model, bands=bands, n=n, **options)

    return make


@pytest.fixture(scope="session")
def spectra(make_spectra):
    """Spectra with everything that a file of one layer can hold."""
    return make_spectra(
        epochs=3,
        gains="filter",
        target={"low": 0.75, "high": 0.25},
        provenance={"notes": "π\n" * 40_000, "seed": 3, "least": -(2**63), "loss": float("nan"), "empty": ""},
    )


@pytest.fixture(scope="session")
def layers(make_spectra):
    """Spectra of three layers, the first with a history; their names are not in the alphabet's order."""
    return [
        replace(make_spectra(kernel=(5, 5), epochs=2, seed=1), layer="stem"),
        replace(make_spectra(channels=6, filters=3, seed=2), layer="block.1.conv"),
        replace(make_spectra(filters=2, kernel=(3, 1), n=9, seed=3), layer="block.0.conv"),
    ]


@pytest.fixture
def path(tmp_path, spectra):
    """A sound file of the spectra, which a test may change."""
    write_spectra(tmp_path / "spectra.h5", spectra)
    return tmp_path / "spectra.h5"


@pytest.fixture
def several(tmp_path, layers):
    """A sound file of the layers, which a test may change."""
    write_spectra(tmp_path / "layers.h5", layers)
    return tmp_path / "layers.h5"
