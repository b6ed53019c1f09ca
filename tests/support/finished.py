"""Finished run directories, written by hand: no training."""

from dataclasses import replace
from itertools import product

import numpy as np
import torch

from freqfast.analysis import Ablation, Features, HeatMap, Reliance, Stage
from freqfast.corruptions import MAIN, SEVERITIES
from freqfast.models.file import write_model
from freqfast.records import record_from, write_record
from freqfast.robustness import CLEAN, CorruptionResult, Outcomes
from freqfast.runs.directory import RunDirectory
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport
from freqfast.spectra import SpectraHistory, measure_spectra
from freqfast.spectra.h5 import write_spectra
from freqfast.spectral.bands import Bands, band_shares
from freqfast.spectral.modulation import apply_modulation
from freqfast.spectral.spectrum import power_spectrum
from tests.support.runs import ENVIRONMENT
from tests.support.sound_model import stored_network


def write_network(path, classes, modulation=False, seed=0, gains=False, image_size=0):
    """Write the model file of an untrained network, with random gains if wanted, and return the network."""
    torch.manual_seed(seed)
    stored = stored_network(classes)
    stored = replace(stored, preprocessing=replace(stored.preprocessing, crop=image_size or None))
    if modulation:
        apply_modulation(stored.module)
    if gains:
        torch.nn.init.normal_(stored.module.conv1.log_gain)
    write_model(path, stored)
    return stored.module


def measured(fractions, images=1000, images_crc32=0):
    """A result in which a fraction of each cell's images, the first ones, is classified correctly."""
    sure, labels = np.full(images, 0.75), np.ones(images)
    right = {key: np.arange(images) < round(images * fraction) for key, fraction in fractions.items()}
    return CorruptionResult({key: Outcomes.measure(r, sure, labels, images_crc32) for key, r in right.items()})


def history_of(weights, bands=None, n=32, first=0, log_gain=None):
    """Spectra by epoch, from a first one on, of a layer that had these weights."""
    weights = [torch.as_tensor(weight) for weight in weights]
    return SpectraHistory(
        epochs=range(first, first + len(weights)),
        power=[power_spectrum(w, n).numpy() for w in weights],
        weight=[w.numpy() for w in weights],
        shares=[band_shares(w, bands).numpy() for w in weights],
        log_gain=log_gain,
    )


def growing(weight):
    """A weight as it grows over three epochs."""
    return [weight * (1 + epoch) for epoch in range(3)]


def image_results(seed=0):
    """One result of each of our analyses that needs images, by name."""
    rng = np.random.default_rng(seed)
    results = (
        HeatMap(error=rng.random((8, 8)), clean_error=0.2, norm=4.0, seed=0, images=9),
        Reliance(cutoffs=[0, 0.2, 0.4], low=rng.random(3), high=rng.random(3), band=rng.random(3), clean=0.8, images=9),
        Ablation(
            bands=Bands.equal_area(2), layer="conv1", counts=[3, 1], filters=rng.random(2), control=rng.random(2),
            response=rng.random(2), clean=0.8, images=9,
        ),
        Features(
            stages=tuple(
                Stage(
                    name=name, channels=4, height=4, width=4, frequency=[0, 0.25, 0.5], variance=rng.random(),
                    log_amplitude=[0, *-rng.random(2)],
                )
                for name in ("conv1", "conv2")
            ),
            images=9,
        ),
    )  # fmt: skip
    return {found.analysis: found for found in results}


def write_run(path, *, classes="abcdefghij", analyses=None, modulation=False, result=None, command=None, **settings):
    """Write a finished run of an untrained network; analyses are by name, `settings` are those of the recipe."""
    path.mkdir()
    run = RunDirectory(path)
    recipe = {"description": "a run", "name": "mine", "model": "tiny", "model_options": {"width": 8}, "epochs": 2}
    recipe = Recipe(**(recipe | settings))
    write_record(run.recipe, recipe)
    model = write_network(run.model, classes, modulation, recipe.seed, image_size=recipe.image_size)
    spectra = measure_spectra(model)
    write_spectra(run.spectra, replace(spectra, history=None if modulation else history_of(growing(spectra.weight))))
    rng = np.random.default_rng(recipe.seed)
    result = result or measured({CLEAN: 0.8} | {key: rng.random() for key in product(MAIN, SEVERITIES)})
    result.save(run.evaluation)
    write_record(run.environment, replace(ENVIRONMENT, command=command))
    values = {
        "schema": 1, "recipe": recipe.name, "seed": recipe.seed, "epochs": recipe.epochs, "precision": "float32",
        "bands": ["low", "high"], "proportion": {"before": [1, 0], "after": [1, 0], "target": None},
        "seconds": {"fit": 90.0, "evaluate": 1.0},
    }  # fmt: skip
    write_record(run.report, record_from(values | result.to_dict(), RunReport, ignore_unknown=True))
    for name, found in (analyses or {}).items():
        run.analysis(name).parent.mkdir(exist_ok=True)
        write_record(run.analysis(name), found)
    return path
