import csv
import json
import os
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from PIL import Image

from freqfast import effective_weight
from freqfast.callbacks import AutoPrecision, FrequencyProportion, SpectralModulation, SpectrumRecorder
from freqfast.corruptions import CORRUPTIONS, available
from freqfast.data import ImageData, ImageSet, load_data
from freqfast.modulation import SpectralConv2d
from freqfast.recipe import Recipe, find_recipe, list_recipes
from freqfast.run import load_run
from freqfast.training import build_callbacks, build_learner, fit_recipe, run_recipe

FILES = ["environment.json", "metrics.csv", "model.safetensors", "recipe.toml", "report.json", "spectra.h5"]
TINY = Recipe(
    "two classes of stripes, wide and narrow",
    width=4,
    epochs=2,
    batch_size=16,
    lr=0.05,
    precision="float32",
    test_images=2,
    callbacks={
        "frequency_proportion": {"proportions": {"low": 0.75, "high": 0.25}},
        "spectral_modulation": {"sigma": 0.5},
        "spectrum_perturbation": {"share": 0.5},
    },
    name="tiny",
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tiny models are faster on one thread, and the same from run to run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _no_data_around(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FREQFAST_DATA", raising=False)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """An image-folder tree: 32 training and 8 test images of 16x16 pixels."""
    folder = tmp_path_factory.mktemp("data") / "tree"
    rng = np.random.default_rng(0)
    x = np.arange(16)
    for split, count in (("train", 16), ("test", 4)):
        for name, frequency in (("narrow", 0.4), ("wide", 0.1)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                stripes = np.cos(2 * np.pi * frequency * (x[:, None, None] + rng.integers(16)))
                pixels = (128 + 80 * stripes + rng.normal(0, 20, (16, 16, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def finished(tree, tmp_path_factory):
    """A finished run, made once: its directory, what `run_recipe` returned, and the progress it reported."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("runs")
    patch.setenv("FREQFAST_CACHE", str(folder / "cache"))
    calls = []
    run = run_recipe(TINY, folder / "deep" / "run", tree, "cpu", lambda *call: calls.append(call))
    patch.undo()
    return folder / "deep" / "run", run, calls


# What a run leaves


def test_exactly_the_six_files(finished):
    folder, run, _ = finished
    assert sorted(os.listdir(folder)) == FILES
    assert os.listdir(folder.parent) == ["run"]  # no temporary directory stays beside it
    assert run.path == folder


def test_report(finished):
    folder, run, _ = finished
    report = json.loads((folder / "report.json").read_text())
    assert report == run.report
    assert set(report) == {
        "schema", "version", "recipe", "seed", "epochs", "precision", "clean", "corrupted", "mean15", "mean19",
        "families", "accuracy", "images", "missing", "bands", "proportion", "seconds",
    }  # fmt: skip
    assert report["schema"] == 1
    assert (report["recipe"], report["seed"], report["epochs"]) == ("tiny", 0, 2)
    assert report["precision"] == "float32"
    assert report["bands"] == ["low", "high"]
    assert report["proportion"]["after"] == [0.75, 0.25]
    assert report["proportion"]["target"] == [0.75, 0.25]
    assert sum(report["proportion"]["before"]) == pytest.approx(1)
    assert set(report["accuracy"]) == set(available())
    assert report["missing"] == [name for name in CORRUPTIONS if name not in available()]
    assert report["images"] == 2
    cells = [accuracy for by in report["accuracy"].values() for accuracy in by.values()]
    assert {len(by) for by in report["accuracy"].values()} == {5}
    assert set(cells) <= {0.0, 0.5, 1.0}
    assert report["corrupted"] == pytest.approx(np.mean(cells))
    assert report["clean"] in np.arange(9) / 8
    assert all(seconds > 0 for seconds in report["seconds"].values())


def test_metrics(finished):
    folder, _, _ = finished
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train_loss", "valid_loss", "accuracy", "low", "high", "time"]
    assert [row["epoch"] for row in rows] == ["0", "1"]
    for row in rows:
        assert float(row["low"]) == 0.75
        assert float(row["high"]) == 0.25
        assert 0 <= float(row["accuracy"]) <= 1
        assert float(row["train_loss"]) > 0


def test_environment(finished):
    _, run, _ = finished
    assert set(run.environment) == {
        "freqfast", "python", "platform", "processor", "gpu", "device", "threads", "precision", "packages",
    }  # fmt: skip
    assert run.environment["device"] == "cpu"
    assert run.environment["threads"] == 1
    assert run.environment["packages"]["torch"] == torch.__version__.partition("+")[0] or torch.__version__


def test_recipe_is_the_resolved_one(finished):
    folder, run, _ = finished
    assert run.recipe == TINY
    assert Recipe.from_toml((folder / "recipe.toml").read_text(encoding="utf-8")) == TINY


def test_model_is_the_trained_one(finished, tree):
    _, run, _ = finished
    data = load_data("cifar10", tree)
    assert run.checkpoint.classes == ("narrow", "wide")
    assert (run.checkpoint.mean, run.checkpoint.std) == (data.mean, data.std)
    assert isinstance(run.model.conv1, SpectralConv2d)
    assert run.model.conv1.log_gain.abs().max() > 0  # trained
    pixels = (data.test.images / 255 - np.array(data.mean)) / np.array(data.std)
    predicted = run.model(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32)).argmax(1).numpy()
    assert (predicted == data.test.labels).mean() == run.report["clean"]


def test_spectra_are_those_of_the_model(finished):
    folder, run, _ = finished
    weight = effective_weight(run.model.conv1).double().numpy()
    with h5py.File(folder / "spectra.h5") as file:
        power = file["entry/spectra/power"][()]
        assert file["entry/spectra/power"].shape == (4, 32, 32)
        np.testing.assert_allclose(power.sum((1, 2)), (weight**2).sum((1, 2, 3)), rtol=1e-5)


def test_progress_covers_fit_and_evaluation(finished):
    _, _, calls = finished
    stages = {message.split()[0] for _, _, message in calls}
    assert "epoch" in stages
    assert calls[-1][0] == calls[-1][1] == 5 * len(available())
    steps = [call for call in calls if call[2].startswith("epoch")]
    assert [done for done, _, _ in steps] == [1, 2, 3, 4]
    assert {total for _, total, _ in steps} == {4}


def test_readable_by_others(finished):
    folder, _, _ = finished
    old = os.umask(0)
    os.umask(old)
    assert (folder / "report.json").stat().st_mode & 0o777 == 0o666 & ~old


def test_recipe_toml_reproduces_the_run(finished, tree, tmp_path):
    folder, run, _ = finished
    torch.manual_seed(99)  # whatever state the process is in
    again = run_recipe(Recipe.from_toml((folder / "recipe.toml").read_text(encoding="utf-8")), tmp_path / "again", tree)
    first, second = run.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert {k: v for k, v in again.report.items() if k != "seconds"} == {
        k: v for k, v in run.report.items() if k != "seconds"
    }


def test_another_seed_is_another_run(tree):
    data = load_data("cifar10", tree)
    weights = []
    for seed in (0, 0, 1):
        learn = build_learner(replace(TINY, seed=seed, epochs=1), data, "cpu")
        with learn.no_bar(), learn.no_logging():
            fit_recipe(learn, replace(TINY, epochs=1))
        weights.append(effective_weight(learn.model.conv1))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


# What must not happen


def test_refuses_to_overwrite(finished, tree, tmp_path):
    folder, _, _ = finished
    for place in (folder, tmp_path, tree / "train" / "wide" / "0.png"):
        before = sorted(place.rglob("*"))
        with pytest.raises(FileExistsError, match="exists already; choose another --out or remove it"):
            run_recipe(TINY, place, tree)
        assert sorted(place.rglob("*")) == before


def wrong(**changes):
    return replace(TINY, **changes)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (wrong(callbacks={"nosuch": {}}), "unknown callback 'nosuch'; the callbacks are frequency_proportion"),
        (wrong(callbacks={"frequency_proportion": {}}), "frequency_proportion: .*proportions"),
        (
            wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "puriti": 1}}),
            "has no argument 'puriti'; its arguments are proportions, bands, purity",
        ),
        (wrong(callbacks={"frequency_proportion": {"proportions": "low"}}), "proportions must be of type"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": "1"}}}), "proportions must be of type"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 0.5}}}), "must sum to 1, got 0.5"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"mid": 1.0}}}), "mid"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": float("nan")}}}), "finite"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "purity": True}}), "purity must be"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "purity": 1.5}}), "purity"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "purity": float("nan")}}), "purity"),
        (wrong(callbacks={"frequency_proportion": {"proportions": {"low": 1.0}, "layer": "x"}}), "layer 'x' is not in"),
        (wrong(callbacks={"spectral_modulation": {"sigma": -1}}), "sigma"),
        (wrong(callbacks={"spectral_modulation": {"sigma": float("nan")}}), "sigma"),
        (wrong(callbacks={"spectral_modulation": {"sigma": "big"}}), "sigma must be of type float"),
        (wrong(callbacks={"spectral_modulation": {"seed": 1.5}}), "seed must be of type"),
        (wrong(callbacks={"spectrum_perturbation": {"share": 2.0}}), "share"),
        (wrong(callbacks={"spectrum_perturbation": {"share": float("nan")}}), "share"),
        (wrong(callbacks={"spectrum_recorder": {"n": 1}}), "n must be at least"),
        (wrong(model="vgg"), "unknown model 'vgg'"),
        (wrong(kernel_size=4), "kernel_size odd"),
        (wrong(data="imagenet"), "unknown data 'imagenet'"),
        (wrong(batch_size=33), r"batch_size must lie in 1\.\.32"),
        (wrong(precision="float8"), "precision must be one of"),
    ],
)
def test_a_wrong_recipe_leaves_no_directory(tree, tmp_path, recipe, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_recipe(recipe, tmp_path / "deep" / "run", tree)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "deep").exists()


def test_wrong_places_leave_no_directory(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent does not exist"):
        run_recipe(TINY, tmp_path / "run", tmp_path / "absent")
    with pytest.raises(ValueError, match="device 'abacus' is not available here"):
        run_recipe(TINY, tmp_path / "run", tree, device="abacus")
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run_recipe(TINY, tmp_path / "file" / "run", tree)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("at", ["epoch 2/2", "fog"])
def test_an_interrupted_run_looks_unfinished(tree, tmp_path, error, at):
    def interrupt(done, total, message):
        if message.startswith(at):
            raise error("stop")

    with pytest.raises(error):
        run_recipe(TINY, tmp_path / "run", tree, progress=interrupt)
    left = set(os.listdir(tmp_path / "run"))
    assert "report.json" not in left
    assert left <= set(FILES)  # and no temporary file
    assert {"recipe.toml", "environment.json"} <= left
    assert ("model.safetensors" in left) == (at == "fog")
    with pytest.raises(FileNotFoundError, match=r"is not a finished run: report\.json is missing"):
        load_run(tmp_path / "run")
    assert Recipe.from_toml((tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8")) == TINY


@pytest.mark.parametrize("step", ["freqfast.training.os.rename", "freqfast.training._environment"])
def test_failure_before_the_directory_appears_leaves_nothing(tree, tmp_path, monkeypatch, step):
    def fail(*args):
        raise KeyboardInterrupt

    load_data("cifar10", tree)
    monkeypatch.setattr(step, fail)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(TINY, tmp_path / "runs" / "run", tree)
    assert os.listdir(tmp_path / "runs") == []


@pytest.mark.parametrize("callbacks", [{}, TINY.callbacks])
def test_divergence_is_an_error_not_a_finished_run(tree, tmp_path, callbacks):
    with pytest.raises(ValueError, match=r"diverged in epoch 1, .*; lower lr \(1e\+30\)\. .*run stays unfinished"):
        run_recipe(replace(TINY, lr=1e30, callbacks=callbacks), tmp_path / "run", tree)
    assert sorted(os.listdir(tmp_path / "run")) == ["environment.json", "metrics.csv", "recipe.toml"]


# The parts


def test_all_test_images(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("freqfast.training.available", lambda: ("pixelate",))
    run = run_recipe(replace(TINY, test_images=0, epochs=1, callbacks={}), tmp_path / "run", tree)
    assert run.report["images"] == 8
    assert run.report["proportion"]["target"] is None
    assert run.report["mean15"] is None
    assert run.report["families"] == {}
    assert run.report["corrupted"] == pytest.approx(np.mean(list(run.report["accuracy"]["pixelate"].values())))


@pytest.fixture(scope="module")
def small():
    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    part = ImageSet(images, np.arange(16) % 10)
    return ImageData("noise", tuple("abcdefghij"), part, part)


@pytest.mark.parametrize("name", list_recipes())
def test_every_built_in_recipe_makes_a_learner_that_trains(small, name):
    recipe = replace(find_recipe(name), width=4, batch_size=8, epochs=1, precision="float32")
    learn = build_learner(recipe, small, "cpu")
    assert isinstance(learn, Learner)
    kinds = [type(cb).__name__ for cb in learn.cbs]
    for callback in recipe.callbacks:
        assert "".join(part.title() for part in callback.split("_")) in kinds
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)
    enforced = recipe.callbacks.get("frequency_proportion")
    if enforced:
        low, high = learn.spectrum_recorder.shares[-1].T
        assert (low > high).mean() == enforced["proportions"].get("low", 0)
    assert isinstance(learn.model.conv1, SpectralConv2d) == ("spectral_modulation" in recipe.callbacks)


def test_schedule_and_optimizer(small):
    recipe = replace(TINY, batch_size=4, epochs=5, lr=0.1, pct_start=0.4, callbacks={}, weight_decay=0.03)
    learn = build_learner(recipe, small, "cpu")
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)
    rates = learn.recorder.hps["lr"]
    assert len(rates) == 20
    assert np.argmax(rates) == 8
    assert max(rates) == pytest.approx(0.1)
    assert set(learn.recorder.hps["mom"]) == {0.9}
    (group,) = learn.opt.opt.param_groups
    assert isinstance(learn.opt.opt, torch.optim.SGD)
    assert (group["nesterov"], group["weight_decay"], group["momentum"]) == (True, 0.03, 0.9)
    assert len(group["params"]) == len(list(learn.model.parameters()))  # decay and all, as in plain torch


def test_training_is_plain_torchs(small):
    """The same steps by hand: model, order of batches, Nesterov SGD at the recorded rates."""
    recipe = replace(TINY, batch_size=8, epochs=2, callbacks={})
    learn = build_learner(recipe, small, "cpu")
    initial = {name: tensor.clone() for name, tensor in learn.model.state_dict().items()}
    batches = []

    class Spy(Callback):
        def after_pred(self):
            if self.training:
                batches.append((self.x.clone(), self.y.clone()))

    with learn.no_bar(), learn.no_logging(), learn.added_cbs(Spy()):
        fit_recipe(learn, recipe)
    trained = learn.model.state_dict()
    twin = build_learner(recipe, small, "cpu").model
    twin.load_state_dict(initial)
    twin.train()
    optimizer = torch.optim.SGD(twin.parameters(), lr=1, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay)
    for (x, y), rate in zip(batches, learn.recorder.hps["lr"], strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(twin(torch.Tensor(x)), y.as_subclass(torch.Tensor)).backward()
        optimizer.step()
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-4, atol=1e-5)


def test_no_momentum(small):
    recipe = replace(TINY, momentum=0, callbacks={}, epochs=1, batch_size=8)
    learn = build_learner(recipe, small, "cpu")
    with learn.no_bar(), learn.no_logging():
        fit_recipe(learn, recipe)
    assert learn.opt.opt.param_groups[0]["nesterov"] is False


def test_one_recorder_with_the_bands_that_are_enforced(small):
    bands = {"edges": [0, 0.2, 0.4, 0.75], "names": ["low", "mid", "high"]}
    options = {"proportions": {"low": 1.0}, "bands": bands, "purity": 0.6, "layer": "layer1.0.conv1"}
    learn = build_learner(replace(TINY, batch_size=8, callbacks={"frequency_proportion": options}), small, "cpu")
    (recorder,) = [cb for cb in learn.cbs if isinstance(cb, SpectrumRecorder)]
    assert recorder.bands.names == ("low", "mid", "high")
    assert recorder.layer == "layer1.0.conv1"
    learn = build_learner(replace(TINY, batch_size=8, callbacks={"spectrum_recorder": {"n": 16}}), small, "cpu")
    (recorder,) = [cb for cb in learn.cbs if isinstance(cb, SpectrumRecorder)]
    assert recorder.points == 16


def test_build_callbacks():
    built = build_callbacks(TINY)
    assert [type(cb).__name__ for cb in built] == [
        "FrequencyProportion",
        "SpectralModulation",
        "SpectrumPerturbation",
    ]
    assert isinstance(built[0], FrequencyProportion)
    assert built[0].proportions == {"low": 0.75, "high": 0.25}
    assert isinstance(built[1], SpectralModulation)
    assert built[1].sigma == 0.5
    assert build_callbacks(replace(TINY, callbacks={})) == []


def test_precision_is_the_recipes(small):
    learn = build_learner(replace(TINY, batch_size=8, precision="bfloat16"), small, "cpu")
    (precision,) = [cb for cb in learn.cbs if isinstance(cb, AutoPrecision)]
    assert precision.precision == "bfloat16"


# Callbacks of third parties


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes a third party's distribution importable, as pip would."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(source, point):
        (tmp_path / "thirdparty_callbacks.py").write_text(source)
        info = tmp_path / "thirdparty_callbacks-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty-callbacks\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[freqfast.callbacks]\n{point}\n")

    yield make
    sys.modules.pop("thirdparty_callbacks", None)


def test_callback_of_a_third_party(install):
    source = (
        "from fastai.callback.core import Callback\n"
        "class Ours(Callback):\n"
        "    def __init__(self, strength: float, names: list[str] | None = None):\n"
        "        self.strength, self.names = strength, names\n"
    )
    install(source, "ours = thirdparty_callbacks:Ours")
    (callback,) = build_callbacks(Recipe("x", callbacks={"ours": {"strength": 2, "names": ["a"]}}))
    assert (type(callback).__name__, callback.strength, callback.names) == ("Ours", 2, ["a"])
    for options, message in (
        ({"strength": "2"}, "ours.strength must be of type float, got '2'"),
        ({"strength": 1, "names": [1]}, "ours.names must be of type"),
        ({}, "ours: .*strength"),
        ({"weakness": 1}, "ours has no argument 'weakness'; its arguments are strength, names"),
    ):
        with pytest.raises(ValueError, match=message):
            build_callbacks(Recipe("x", callbacks={"ours": options}))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('out of order')", "cannot be imported: out of order"),
        ("import no_such_package", "cannot be imported: .*no_such_package"),
        ("", "cannot be imported: .*Bad"),
        ("Bad = 3", "is no class of fastai callbacks"),
        ("class Bad: pass", "is no class of fastai callbacks"),
    ],
)
def test_unsound_callback_is_named(install, source, message):
    install(source, "bad = thirdparty_callbacks:Bad")
    with pytest.raises(ValueError, match=rf"callback entry point 'bad' \(thirdparty_callbacks:Bad\) {message}"):
        build_callbacks(Recipe("x", callbacks={"bad": {}}))


def test_a_callbacks_own_error_is_named(install):
    source = (
        "from fastai.callback.core import Callback\n"
        "class Bad(Callback):\n"
        "    def __init__(self): raise ValueError('not today')\n"
    )
    install(source, "bad = thirdparty_callbacks:Bad")
    with pytest.raises(ValueError, match=r"^bad: not today$"):
        build_callbacks(Recipe("x", callbacks={"bad": {}}))
