"""Sound files spoilt at random, by a seed for each case, through the commands that read them.

A change may be harmless, such as a wrong bit in a weight: then the command ends well. Nothing else may pass. The full
form is ``pytest -m "slow and hostile" tests/hostile``.
"""

import pytest

from tests.hostile import mutate
from tests.hostile.cases import ARCHIVE, CORRUPT, MERGE, MODEL, SHOW, STUDY, WEIGHTS
from tests.hostile.sound import rename_checkpoint

FROST = ("corrupt", "{tree}", "--corruptions", "frost", "--out", "out", "--limit", "1", "--frost-dir", "{}")

# What is spoilt: the sound file or folder, the file in it, how, and the command; {} stands for the copy.
TARGETS = {
    "model": ("model.safetensors", "", mutate.safetensors, MODEL),
    "weights": ("weights.safetensors", "", mutate.safetensors, WEIGHTS),
    "pth": ("weights.pth", "", mutate.binary, WEIGHTS),
    "legacy pth": ("legacy.pth", "", mutate.binary, WEIGHTS),
    "labels": ("archive", "labels.npy", mutate.npy, ARCHIVE),
    "images": ("archive", "contrast.npy", mutate.npy, ARCHIVE),
    "manifest": ("archive", "manifest.json", mutate.json_text, ARCHIVE),
    "manifest of corrupt": (
        "archive",
        "manifest.json",
        mutate.json_text,
        ("corrupt", "{tree}", "--corruptions", "contrast", "--out", "{}"),
    ),
    "result": ("result.json", "", mutate.json_text, MERGE),
    "spectra": ("spectra.h5", "", mutate.binary, SHOW),
    "study": ("study.toml", "", mutate.toml_text, STUDY),
    "tar": ("tree.tgz", "", mutate.binary, CORRUPT),
    "image": ("tree", "train/wide/0.png", mutate.binary, CORRUPT),
    "batch": ("cifar-10-batches-py", "data_batch_2", mutate.binary, CORRUPT),
    "frost": ("frost", "frost3.png", mutate.binary, FROST),
}
REPORT = ("report", "{}", "-o", "page.html")
RUN_TARGETS = {
    "recipe": ("stopped", "recipe.toml", mutate.toml_text, ("run", "--resume", "{}", "--data", "absent")),
    "environment": ("stopped", "environment.json", mutate.json_text, ("run", "--resume", "{}")),
    "checkpoint": ("stopped", "checkpoints", mutate.safetensors, ("run", "--resume", "{}")),
    "report": ("run", "report.json", mutate.json_text, REPORT),
    "environment of report": ("run", "environment.json", mutate.json_text, REPORT),
    "model of rerun": ("run", "model.safetensors", mutate.safetensors, ("rerun", "{}", "--data", "absent")),
    "record": ("run", "spectra.h5", mutate.binary, ("spectra", "{}", "-o", "s.h5")),
}


def spoil(world, attack, kind, target, seed):
    """Run the command on a copy of the sound file that the seed spoils."""
    item, inner, change, words = target
    path = world.copy(item)
    file = path / inner if inner else path
    if file.is_dir():
        file = max(file.iterdir())
        for other in file.parent.iterdir():
            if other != file:
                other.unlink()
    rng = mutate.generator(kind, seed)
    content = file.read_bytes()
    spoilt = content
    while spoilt == content:
        spoilt = change(content, rng)
    file.write_bytes(spoilt)
    if kind == "checkpoint":
        rename_checkpoint(file)
    attack(*world.words(lambda world: path, words), harmless=True)


def seeds(count, fast):
    """Seeds, of which all but the first few are slow."""
    return [pytest.param(seed, marks=[pytest.mark.slow] if seed >= fast else []) for seed in range(count)]


@pytest.mark.parametrize("seed", seeds(20, fast=1))
@pytest.mark.parametrize("kind", TARGETS)
def test_spoilt(kind, seed, world, attack):
    spoil(world, attack, kind, TARGETS[kind], seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", RUN_TARGETS)
def test_spoilt_runs(kind, seed, runs, world, attack, monkeypatch):
    monkeypatch.setattr("freqfast.training.outcome.available", lambda: ("contrast",))
    spoil(world, attack, kind, RUN_TARGETS[kind], seed)


@pytest.mark.parametrize("seed", seeds(60, fast=4))
def test_settings(seed, attack):
    rng = mutate.generator("setting", seed)
    settings = [word for _ in range(rng.choice([1, 1, 3])) for word in ("--set", mutate.setting(rng))]
    name = rng.choice(["quickstart", "resnet18_cifar10.baseline", "resnet18_cifar10.proportion_low"])
    attack("run", name, "--data", "absent", "--out", "out", *settings)
