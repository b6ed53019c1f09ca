"""A Learner measured on its own validation set: DataLoaders of others, several labels, any metric."""

import random
import zlib

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import CSVLogger, ProgressCallback
from fastai.callback.tracker import EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback
from fastai.data.transforms import ToTensor
from fastai.learner import Learner, load_learner
from fastai.metrics import accuracy
from fastai.torch_basics import Transform
from fastai.torch_core import TensorImage, set_seed
from fastai.vision.augment import Resize
from fastai.vision.core import PILImageBW
from fastai.vision.data import ImageDataLoaders
from torch import nn

import freqfast
from freqfast.corruptions import corrupt
from freqfast.robustness import CLEAN, corrupted_source, evaluate_source
from freqfast.training import build_learner
from freqfast.training.state import generators_kept
from freqfast.training.validation import analyse, evaluate_learner
from tests.support import tiny
from tests.support.colour_learners import FOURS, brightest_channel, measure, two_inputs
from tests.support.networks import classifier_of


def test_uncorrupted_is_what_validate_gives(learn):
    found = measure(learn, ["contrast"], severities=[5])
    with learn.no_bar():
        assert list(found.metrics[CLEAN].values()) == list(learn.validate())
    assert found.names == ("loss", "accuracy", "f1_score")
    assert found.by_image.clean == pytest.approx(found.metrics[CLEAN]["accuracy"])
    assert found.metrics["contrast", 5]["loss"] != found.metrics[CLEAN]["loss"]
    clean = measure(learn, [])
    assert list(clean.metrics) == [CLEAN]
    with pytest.raises(ValueError, match="no corruption was measured, so there is nothing to draw"):
        clean.plot()


@pytest.mark.parametrize("limit", [None, 7])
def test_corrupted_are_the_pixels_after_the_item_transforms(learn, limit):
    """The same by hand: items, the corruption of all at once, of these a part, batch transforms, model."""
    found = measure(learn, ["gaussian_noise"], [4], seed=3, limit=limit).by_image.outcomes["gaussian_noise", 4]
    loader, rows = learn.dls.valid, range(18)
    loader.before_iter()  # which makes the crops those of validation
    items = [loader.do_item(row) for row in rows]
    pixels = torch.stack([torch.as_tensor(image) for image, _ in items])
    assert pixels.dtype == torch.uint8
    if limit is not None:
        rows = np.sort(np.random.default_rng(3).choice(18, limit, replace=False))
    noisy = corrupt(pixels, "gaussian_noise", 4, seed=3)[rows]
    labels = torch.tensor([int(items[row][1]) for row in rows])
    batch = loader.after_batch((type(items[0][0])(noisy), labels))
    learn.model.eval()
    with torch.no_grad():
        right = learn.model(batch[0].as_subclass(torch.Tensor)).argmax(1) == batch[1]
    np.testing.assert_array_equal(found.correct, right.numpy())
    levels = np.ascontiguousarray(noisy.permute(0, 2, 3, 1))
    assert found.images_crc32 == zlib.crc32(labels.numpy(), zlib.crc32(levels))


def test_a_loader_that_shuffles_and_drops_is_measured_in_order_and_whole(learn):
    expected = measure(learn, ["snow"], [3]).by_image
    learn.dls.loaders[1] = learn.dls.valid.new(shuffle=True, drop_last=True)
    assert len(learn.dls.valid) * FOURS["bs"] < expected.images
    assert measure(learn, ["snow"], [3]).by_image == expected


def test_arrays_in_memory_give_what_the_evaluation_of_arrays_gives(small):
    recipe = tiny.TINY
    learn = build_learner(recipe, small, "cpu")
    found = measure(learn, ["fog", "pixelate"], [1, 5])
    classifier = classifier_of(learn.model, small.mean, small.std, device="cpu")
    source = corrupted_source(small.test, ["fog", "pixelate"])
    (expected,) = evaluate_source([classifier], source)
    for key, outcomes in found.by_image.outcomes.items():
        np.testing.assert_array_equal(outcomes.correct, expected.outcomes[key].correct)
        assert outcomes.images_crc32 == expected.outcomes[key].images_crc32


def test_evaluate_takes_a_learner_or_a_model(learn):
    with learn.no_bar():
        found = freqfast.evaluate(learn, ["fog"], [1], limit=3)
    assert found.metrics == measure(learn, ["fog"], [1], limit=3).metrics
    with pytest.raises(TypeError, match="model"):
        freqfast.evaluate("a name", np.zeros((1, 8, 8, 3), np.uint8), [0])


def test_the_learner_stays_as_it_is(learn):
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    losses, values, callbacks = list(learn.recorder.losses), list(learn.recorder.values), repr(learn.cbs)
    measure(learn, ["fog"], [1])
    assert (learn.recorder.losses, list(learn.recorder.values), repr(learn.cbs)) == (losses, values, callbacks)
    assert all(torch.equal(value, before[name]) for name, value in learn.model.state_dict().items())


def test_modes_and_the_progress_bar_stay(learn):
    class Bar(ProgressCallback):
        name = "progress"

    with learn.no_bar(), learn.no_logging():
        learn.add_cb(bar := Bar())
        for frozen in (True, False):
            learn.model.train()
            learn.model[2].train(not frozen)
            evaluate_learner(learn, ["fog"], [1], limit=3)
            assert [module.training for module in learn.model.modules()] == [True, True, True, not frozen]
            assert learn.progress is bar
        learn.remove_cb(bar)


def test_what_cannot_be_measured_is_refused_before_the_first_pass(learn, tmp_path):
    learn.add_cb(Callback(before_validate=lambda self: pytest.fail("measured")))
    for names, severities, error, message in (
        (["fog", "smoke"], [1], ValueError, "no corruption is called 'smoke'"),
        (["fog"], [1, 6], ValueError, "severities must be of 1, 2, 3, 4 and 5, got 1, 6"),
        (["fog", "frost"], [1], FileNotFoundError, str(tmp_path)),
    ):
        with pytest.raises(error, match=message):
            measure(learn, names, severities, frost_dir=tmp_path)


def test_nothing_that_is_drawn_later_changes(learn):
    found = []
    for use in (measure, analyse, None):
        set_seed(5)
        if use is not None:
            use(learn, *(["reliance"] if use is analyse else [["fog"], [1]]), limit=3)
        found.append((random.random(), np.random.random(), float(torch.rand(()))))  # noqa: NPY002
    assert found[0] == found[1] == found[2]


def test_a_gpu_that_is_not_used_yet_keeps_its_seed(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    torch.manual_seed(1)
    with generators_kept():
        torch.manual_seed(2)
    assert seeds == [1, 2, 1]


def test_no_callback_takes_it_for_a_fit(learn, tmp_path):
    """None of fastai's that follow each fit, or write it down."""
    stop, plateau = (kind("accuracy", reset_on_fit=False) for kind in (EarlyStoppingCallback, ReduceLROnPlateau))
    learn.path = tmp_path
    learn.add_cbs([CSVLogger(), SaveModelCallback("accuracy"), stop, plateau])
    with learn.no_bar():
        learn.fit(1, 1e-3)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    rates = [group["lr"] for group in learn.opt.hypers]
    measure(learn, ["fog"], [1, 2])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == kept
    assert [group["lr"] for group in learn.opt.hypers] == rates


def test_a_loader_of_torch_is_refused(learn):
    learn.dls.loaders[1] = torch.utils.data.DataLoader([0, 1])
    with pytest.raises(ValueError, match="the validation set must be in a fastai TfmdDL, got a DataLoader"):
        measure(learn, ["fog"])


def test_a_loaded_learner_has_no_images(learn, tmp_path):
    learn.path = tmp_path
    learn.export("it.pkl")
    loaded = load_learner(tmp_path / "it.pkl")
    for call in (lambda: measure(loaded, ["fog"]), lambda: analyse(loaded, "reliance")):
        with pytest.raises(ValueError, match="the Learner has no validation images, as one of load_learner; give it"):
            call()


def test_limits(learn):
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        measure(learn, ["fog"], limit=0)
    assert measure(learn, ["fog"], [1], limit=19).by_image.images == 18


def test_floats_before_the_batch_transforms_are_refused(folder):
    to_float = Transform(lambda image: image.float() if isinstance(image, TensorImage) else image)
    to_float.order = ToTensor.order + 1
    loaders = ImageDataLoaders.from_folder(folder, item_tfms=[Resize(32), to_float], **FOURS)
    learn = Learner(loaders, brightest_channel(), metrics=accuracy)
    with pytest.raises(ValueError, match=r"gives TensorImage of torch.float32; it must give TensorImage of uint8"):
        measure(learn, ["fog"])


def test_grey_images_are_refused(folder):
    loaders = ImageDataLoaders.from_folder(folder, item_tfms=Resize(32), img_cls=PILImageBW, **FOURS)
    learn = Learner(loaders, nn.Sequential(nn.AvgPool2d(32), nn.Flatten()), metrics=accuracy)
    with pytest.raises(ValueError, match=r"images in colour, got shape \(4, 1, 32, 32\); read them by ImageBlock\(\)"):
        measure(learn, ["fog"])


def test_a_model_of_several_images_is_refused(folder):
    learn = Learner(two_inputs(folder), brightest_channel(), metrics=accuracy)
    with pytest.raises(ValueError, match="takes 2 images at a time, of which the first alone would be corrupted"):
        measure(learn, ["fog"], [1])
