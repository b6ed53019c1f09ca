"""What a Learner does with the DataLoaders."""

import warnings

import fastai.callback.schedule  # noqa: F401
import matplotlib
import numpy as np
import pytest
import torch
from fastai.callback.mixup import MixUp
from fastai.learner import Learner, load_learner
from fastai.metrics import accuracy
from fastai.torch_core import set_seed
from PIL import Image
from torch import nn

from freqfast.data.dataloaders import InMemoryDL

matplotlib.use("agg")


@pytest.fixture
def learn(dls, tmp_path):
    set_seed(0)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), pool, nn.Linear(8, 10))
    learner = Learner(dls, model, metrics=accuracy, path=tmp_path)
    with learner.no_bar(), learner.no_logging():
        yield learner


def test_fit_learns_and_reports(learn):
    before = learn.validate()[0]
    learn.fit_one_cycle(3, 0.03)
    loss, acc = learn.validate()
    assert loss < before
    assert acc > 0.2


def test_predictions_keep_the_order(learn, data, normalised):
    preds, targets = learn.get_preds()
    np.testing.assert_array_equal(targets.numpy(), data.test.labels)
    inputs = torch.tensor(normalised(data.test.pixels, data), dtype=torch.float32)
    with torch.no_grad():
        expected = learn.model(inputs).softmax(1)
    torch.testing.assert_close(torch.Tensor(preds), expected, atol=1e-5, rtol=1e-5)
    _, targets = learn.get_preds(ds_idx=0)
    np.testing.assert_array_equal(targets.numpy(), data.train.labels)


def test_test_dl_takes_any_images(learn, data, tmp_path):
    images = data.test.pixels[:70]
    pictures = [Image.fromarray(image) for image in images]
    paths = [tmp_path / f"{i}.png" for i in range(70)]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    expected = learn.get_preds()[0][:70]
    for items in (torch.as_tensor(images), pictures, paths, np.array(paths), np.array([str(path) for path in paths])):
        loader = learn.dls.test_dl(items)
        assert isinstance(loader, InMemoryDL)
        preds, targets = learn.get_preds(dl=loader)
        assert targets is None
        torch.testing.assert_close(preds, expected)
    assert len(learn.dls.test_dl([]).dataset) == 0


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], "one size, got 4x4 and 6x4"),
        (np.zeros((2, 4, 4, 3), np.float32), "must be uint8"),
        (np.zeros((2, 3, 4, 4), np.uint8), r"must be uint8 of shape \(N, H, W, 3\), got uint8 of shape \(2, 3, 4, 4\)"),
        ([np.zeros((4, 4), np.float32)], r"^image 0 .* \(Pillow's mode F\); convert it to 8 bits first; "),
        ([np.zeros((4, 4), np.uint8), b"text"], "^image 1 cannot be used as an image: cannot identify"),
        ([np.zeros((4, 4, 1), np.uint8)], r"^image 0 cannot .*; give a uint8 array \(H, W\) or \(H, W, 3\), a file,"),
        ([None], "^image 0 cannot be used as an image: .*; give a uint8 array .* Pillow's$"),
    ],
)
def test_invalid_test_images(dls, items, message):
    with pytest.raises(ValueError, match=message):
        dls.test_dl(items)


def test_a_file_that_ends_early_is_named_and_a_missing_one_is_missing(dls, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path := tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match=r"a\.jpg cannot be used as an image: .*truncated"):
        dls.test_dl([path])
    with pytest.raises(FileNotFoundError, match=r"b\.jpg"):
        dls.test_dl([tmp_path / "b.jpg"])
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "c.png")
    with pytest.raises(ValueError, match=r"c\.png cannot be used as an image: it has more than 8 bits a channel"):
        dls.test_dl([tmp_path / "c.png"])


def test_predict_one_image(learn, data):
    expected, _ = learn.get_preds()
    name, label, probabilities = learn.predict(Image.fromarray(data.test.pixels[5]))
    assert name == data.classes[int(expected[5].argmax())]
    assert label == expected[5].argmax()
    torch.testing.assert_close(probabilities, expected[5])


def test_tta(learn):
    preds, _ = learn.tta(n=2)
    assert preds.shape == (150, 10)
    assert learn.dls.valid_ds.split_idx == 1
    assert not torch.equal(preds, learn.get_preds()[0])


def test_shown_images_are_the_pixels_with_their_names(dls, data):
    _, _, items = dls.valid.show_batch(max_n=4, show=False)
    for (image, label), pixels, number in zip(items, data.test.pixels, data.test.labels, strict=False):
        assert np.abs(image.numpy().transpose(1, 2, 0).astype(int) - pixels).max() <= 1
        assert label == data.classes[number]


def test_showing(learn):
    import matplotlib.pyplot as plt

    names = set(learn.dls.vocab)
    learn.dls.show_batch(max_n=4)
    titles = [axis.get_title() for axis in plt.gcf().axes]
    assert len(titles) == 4
    assert set(titles) <= names
    learn.show_results(max_n=4)
    titles = [axis.get_title().split("\n") for axis in plt.gcf().axes]
    assert all(len(title) == 2 and set(title) <= names for title in titles)
    plt.close("all")


def test_export_holds_no_images_and_predicts(learn, data, tmp_path):
    expected, _ = learn.get_preds()
    learn.export("learner.pkl")
    assert (tmp_path / "learner.pkl").stat().st_size < 100_000
    assert len(learn.dls.train_ds) == 300
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it unpickles, which here is the point
        loaded = load_learner(tmp_path / "learner.pkl")
    with loaded.no_bar():
        preds, _ = loaded.get_preds(dl=loaded.dls.test_dl(data.test.pixels))
    torch.testing.assert_close(preds, expected)
    assert list(loaded.dls.vocab) == list(data.classes)


def test_lr_find_and_mixup(learn):
    learn.lr_find(num_it=10, show_plot=False)
    learn.fit(1, cbs=MixUp())
