import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from freqfast.analysis import Ablation, HeatMap, Reliance, write_analysis
from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.models.file import write_model
from freqfast.models.resnet import build_model
from freqfast.robustness import CLEAN, CorruptionResult, Outcomes
from freqfast.runs.directory import RunDirectory
from freqfast.runs.recipe import Recipe
from freqfast.spectra import SpectraHistory, measure_spectra
from freqfast.spectra.h5 import write_spectra
from freqfast.spectral.bands import Bands, band_shares
from freqfast.spectral.modulation import apply_modulation
from freqfast.spectral.spectrum import power_spectrum


def history_of(weight, epochs=3):
    weights = np.stack([weight * (1 + epoch) for epoch in range(epochs)])
    return SpectraHistory(
        epochs=np.arange(epochs),
        power=np.stack([power_spectrum(torch.tensor(w)).numpy() for w in weights]),
        weight=weights,
        shares=np.stack([band_shares(torch.tensor(w)).numpy() for w in weights]),
    )


@pytest.fixture
def spectra():
    torch.manual_seed(0)
    weight = torch.nn.Conv2d(3, 12, 3).weight.detach().numpy()
    return measure_spectra(conv_of(weight), history=history_of(weight), target={"low": 0.5, "high": 0.5})


@pytest.fixture
def modulated():
    torch.manual_seed(1)
    model = apply_modulation(torch.nn.Sequential(torch.nn.Conv2d(3, 12, 3)))
    with torch.no_grad():
        model[0].log_gain.normal_()
    return measure_spectra(model)


def conv_of(weight):
    conv = torch.nn.Conv2d(*reversed(weight.shape[:2]), weight.shape[2:])
    conv.weight.data = torch.tensor(weight)
    return conv


@pytest.fixture(scope="session")
def measured():
    """Makes a report in which a fraction of each cell's images, the first ones, is classified correctly."""

    def measured(fractions, images=1000, images_crc32=0):
        sure, labels = np.full(images, 0.75), np.ones(images)
        right = {key: np.arange(images) < round(images * fraction) for key, fraction in fractions.items()}
        return CorruptionResult({key: Outcomes.measure(r, sure, labels, images_crc32) for key, r in right.items()})

    return measured


@pytest.fixture(scope="session")
def make_run(tmp_path_factory, measured):
    """Writes a finished run with spectra, and with what the analyses keep where that is wanted."""

    def make_run(folder, *, analyses=False, modulation=False, result=None, data=None, **settings):
        path = tmp_path_factory.mktemp("runs") / folder
        path.mkdir()
        defaults = {"description": "a run", "name": "resnet18_cifar10.baseline", "width": 8, "epochs": 2}
        recipe = Recipe(**(defaults | settings))
        torch.manual_seed(recipe.seed)
        spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 10}
        model = build_model(**spec)
        if modulation:
            apply_modulation(model)
        write_model(path / "model.safetensors", model, spec, "abcdefghij", (0.5,) * 3, (0.25,) * 3)
        spectra = measure_spectra(model)
        write_spectra(path / "spectra.h5", replace(spectra, history=None if modulation else history_of(spectra.weight)))
        rng = np.random.default_rng(recipe.seed)
        result = result or measured({CLEAN: 0.8} | {key: rng.random() for key in product(MAIN, SEVERITIES)})
        result.save(path / "evaluation.json")
        content = {
            "schema": 1, "version": "0.1.0", "recipe": recipe.name, "seed": recipe.seed, "epochs": recipe.epochs,
            "precision": "float32", **result.to_dict(),
            "bands": ["low", "high"], "proportion": {"before": [1, 0], "after": [1, 0], "target": None},
            "seconds": {"fit": 90.0, "evaluate": 1.0},
        }  # fmt: skip
        (path / "recipe.toml").write_text(recipe.to_toml())
        (path / "environment.json").write_text(json.dumps({"device": "cpu", "gpu": None, "data": data or {}}))
        (path / "report.json").write_text(json.dumps(content))
        if analyses:
            for found in examples(rng):
                RunDirectory(path).analysis(found.kind).parent.mkdir(exist_ok=True)
                write_analysis(RunDirectory(path).analysis(found.kind), found)
        return path

    return make_run


def examples(rng):
    """One of each analysis that needs data."""
    return (
        HeatMap(error=rng.random((8, 8)), clean_error=0.2, norm=4.0, seed=0, images=9),
        Reliance(cutoffs=[0, 0.2, 0.4], low=rng.random(3), high=rng.random(3), band=rng.random(3), clean=0.8, images=9),
        Ablation(
            bands=Bands.equal_area(2), layer="conv1", counts=[3, 1], filters=rng.random(2), control=rng.random(2),
            response=rng.random(2), clean=0.8, images=9,
        ),
    )  # fmt: skip


@pytest.fixture
def found():
    return {one.kind: one for one in examples(np.random.default_rng(0))}


@pytest.fixture
def no_figures(monkeypatch):
    """Pages of words alone: figures take most of the time."""
    monkeypatch.setattr("freqfast.report.page.page_figures", lambda entries: ())
