"""One sound file of each kind that the commands read."""

import hashlib
import pickle
import tarfile
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from freqfast.progress import RunStoppedError
from tests.support.studies import BROKEN, STUDY
from tests.support.tiny import OFTEN, TINY, stop_at
from tests.support.trees import make_tree


def make_all(folder):
    """All of them, in a folder."""
    from freqfast.data.images import Images
    from freqfast.models.classifier import Classifier
    from freqfast.models.file import read_model, write_model
    from freqfast.robustness import evaluate_source
    from freqfast.robustness.archive.reading import stored_source
    from freqfast.robustness.archive.writing import write_archive
    from freqfast.spectra import measure_layers
    from freqfast.spectra.h5 import write_spectra
    from freqfast.spectral.bands import Bands
    from freqfast.spectral.modulation import apply_modulation
    from tests.support.sound_model import stored_network

    torch.manual_seed(0)
    stored = stored_network("ab")
    model = apply_modulation(stored.module, seed=0)
    write_model(folder / "model.safetensors", stored)
    make_tree(folder / "tree")
    with tarfile.open(folder / "tree.tgz", "w:gz") as archive:
        archive.add(folder / "tree", "tree")
    make_batches(folder / "cifar-10-batches-py")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    write_archive(folder / "archive", Images(images, np.array([0, 1, 0, 1])), ["contrast"], source="noise")
    loaded = read_model(folder / "model.safetensors")
    classifier = Classifier(replace(loaded, name="model.safetensors"), precision="float32")
    evaluate_source([classifier], stored_source(folder / "archive"))[0].save(folder / "result.json")
    write_spectra(
        folder / "spectra.h5",
        measure_layers(model, ["conv1", "conv2"], Bands.equal_area(2), 8, {"run": "a" * 40, "seed": 0}),
    )
    state = {"conv.weight": torch.randn(2, 3, 3, 3), "steps": torch.tensor(3)}
    save_file(state, folder / "weights.safetensors")
    torch.save(state, folder / "weights.pth")
    torch.save({"state_dict": state, "epoch": 3}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    target = "target = { clean = -0.005, mean15 = 0.13 }\n"
    (folder / "study.toml").write_text(target + STUDY + BROKEN)
    (folder / "results.json").write_text("{}")
    for name in ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"):
        (folder / "frost").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (200, 220, 3), dtype=np.uint8)).save(folder / "frost" / name)
    return folder


def make_batches(folder):
    """CIFAR-10's batches, of two images each."""
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        batch = {b"data": np.full((2, 3072), 7, np.uint8), b"labels": [3, 9], b"filenames": ["a", "b"]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=4))


def make_runs(folder, tree, cache, recipe=TINY, prefix="", command=None):
    """A finished run and one that was stopped after its first checkpoint; gives their folders."""
    from freqfast.training import run_recipe

    run, stopped = folder / f"{prefix}run", folder / f"{prefix}stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREQFAST_CACHE", str(cache))
        patch.setattr("freqfast.training.outcome.available", lambda: ("contrast",))
        run_recipe(recipe, run, tree, "cpu", command=command)
        with suppress(RunStoppedError):
            run_recipe(recipe, stopped, tree, "cpu", policy=OFTEN, stop=stop_at(5))
    assert list((stopped / "checkpoints").iterdir())
    return run, stopped


def rename_checkpoint(path):
    """Give a spoilt checkpoint the hash that its new content has, as whoever spoils it would."""
    position = path.name.split(".")[0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(path.with_name(f"{position}.{digest}.safetensors"))
