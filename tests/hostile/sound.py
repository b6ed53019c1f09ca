"""One sound file of each kind that the commands read."""

import io
import pickle
import tarfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

STUDY = """\
title = "Low filters"
description = "Does an all-low first layer help?"
seeds = [0, 1]
baseline = "plain"
target = { clean = -0.005, mean15 = 0.13 }

[settings]
width = 16
epochs = 2

[arms.plain]
recipe = "resnet18_cifar10.baseline"

[arms.low]
recipe = "resnet18_cifar10.baseline"
description = "all filters low"
seeds = [0]
settings = { epochs = 12 }

[arms.low.callbacks.frequency_proportion]
proportions = { low = 1.0 }
"""


def make_all(folder):
    """All of them, in a folder."""
    from freqfast.models.classifier import Classifier
    from freqfast.models.file import read_model, write_model
    from freqfast.models.resnet import build_model
    from freqfast.robustness import evaluate_source
    from freqfast.robustness.archive.reading import stored_source
    from freqfast.robustness.archive.writing import write_archive
    from freqfast.spectra import measure_layers
    from freqfast.spectra.h5 import write_spectra
    from freqfast.spectral.bands import Bands
    from freqfast.spectral.modulation import apply_modulation

    torch.manual_seed(0)
    spec = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 2}
    model = apply_modulation(build_model(**spec), seed=0)
    write_model(folder / "model.safetensors", model, spec, "ab", (0.5,) * 3, (0.25,) * 3)
    make_tree(folder / "tree")
    with tarfile.open(folder / "tree.tgz", "w:gz") as archive:
        archive.add(folder / "tree", "tree")
    make_batches(folder / "cifar-10-batches-py")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    write_archive(folder / "archive", images, np.array([0, 1, 0, 1]), ["contrast"], source="noise")
    loaded = read_model(folder / "model.safetensors")
    classifier = Classifier(loaded.model, loaded.mean, loaded.std, name="model.safetensors", precision="float32")
    evaluate_source([classifier], stored_source(folder / "archive"))[0].save(folder / "result.json")
    write_spectra(
        folder / "spectra.h5",
        measure_layers(model, ["conv1", "layer1.0.conv1"], Bands.equal_area(2), 8, {"run": "a" * 40, "seed": 0}),
    )
    state = {"conv.weight": torch.randn(2, 3, 3, 3), "steps": torch.tensor(3)}
    save_file(state, folder / "weights.safetensors")
    torch.save(state, folder / "weights.pth")
    torch.save({"state_dict": state, "epoch": 3}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    (folder / "study.toml").write_text(STUDY)
    for name in ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"):
        (folder / "frost").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (200, 220, 3), dtype=np.uint8)).save(folder / "frost" / name)
    return folder


def make_tree(folder, size=(16, 16)):
    """An image-folder tree of two classes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name in "ab":
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
                    folder / split / name / f"{i}.png"
                )
    return folder


def make_batches(folder):
    """CIFAR-10's batches, of two images each."""
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        batch = {b"data": np.full((2, 3072), 7, np.uint8), b"labels": [3, 9], b"filenames": ["a", "b"]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=4))


def make_runs(folder, tree):
    """A finished run and one that was stopped after its first checkpoint."""
    from freqfast.runs.recipe import Recipe
    from freqfast.training import RunStoppedError, run_recipe
    from freqfast.training.checkpoint import CheckpointPolicy

    recipe = Recipe(
        "noise",
        width=8,
        epochs=2,
        batch_size=8,
        lr=0.01,
        precision="float32",
        test_images=2,
        callbacks={
            "frequency_proportion": {"proportions": {"low": 0.5, "high": 0.5}},
            "spectral_modulation": {"sigma": 0.5},
            "spectrum_equalization": {"bins": 3},
            "antialiasing": {},
        },
    )
    run_recipe(recipe, folder / "run", tree, "cpu")
    calls = iter(range(1000))
    policy = CheckpointPolicy(minutes=0, share=1)
    stopped = folder / "stopped"
    try:
        run_recipe(
            recipe,
            stopped,
            tree,
            "cpu",
            policy=policy,
            stop=lambda: 15 if stopped.exists() and next(calls) == 3 else None,
        )
    except RunStoppedError:
        return
    raise AssertionError("the run was not stopped")


def rename_checkpoint(path):
    """Give a spoilt checkpoint the hash that its new content has, as whoever spoils it would."""
    import hashlib

    position = path.name.split(".")[0]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(path.with_name(f"{position}.{digest}.safetensors"))


def npy_of(array):
    """An array as .npy, pickled objects and all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


__all__ = ["make_all", "make_batches", "make_runs", "make_tree", "npy_of", "rename_checkpoint"]
