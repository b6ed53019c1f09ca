"""A model on images in memory: `freqfast.evaluate` against the parts that it is made of."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import freqfast
from freqfast.data.images import ImageData, Images
from freqfast.robustness import CorruptionResult, corrupted_source, evaluate_source
from tests.support.networks import classifier_of

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
NAMES = ["contrast", "gaussian_noise"]


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    return Images(rng.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8), rng.integers(0, 4, 6))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def evaluate(model, *images, **options):
    given = {"mean": MEAN, "std": STD, "corruptions": NAMES, "seed": 5, "precision": "float32"}
    return freqfast.evaluate(model, *images, **given | options)


def loader(sample, normalise=True):
    pixels = torch.tensor(sample.pixels).permute(0, 3, 1, 2)
    if normalise:
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        pixels = (pixels / 255 - mean) / std
    return DataLoader(TensorDataset(pixels, torch.tensor(sample.labels)), batch_size=4)


def test_arrays_tensors_sets_and_loaders(model, sample):
    classifier = classifier_of(model, MEAN, STD)
    [expected] = evaluate_source([classifier], corrupted_source(sample, NAMES, seed=5))
    planar = torch.tensor(sample.pixels).permute(0, 3, 1, 2)
    for given in (
        (sample.pixels, sample.labels),
        (planar, torch.tensor(sample.labels)),
        (sample.pixels, sample.labels.tolist()),
        (sample,),
        (loader(sample),),
        (loader(sample, normalise=False),),
        ([(x.permute(0, 2, 3, 1), y) for x, y in loader(sample)],),
    ):
        assert evaluate(model, *given).outcomes == expected.outcomes
    assert model.training  # it is not changed


def test_a_loader_of_bfloat16(model, sample):
    assert evaluate(model, [(x.bfloat16(), y) for x, y in loader(sample)]).images == 6


def test_a_data_set_brings_its_normalisation_and_classes(model, sample):
    data = ImageData("grey", tuple("abcd"), train=sample, test=sample)
    found = freqfast.evaluate(model, data, corruptions=["contrast"])
    provenance = found.provenance
    assert (provenance.mean, provenance.std) == (data.mean, data.std)
    assert (provenance.model, provenance.source) == ("Sequential", "grey, corrupted on the fly")
    other = freqfast.evaluate(model, data, corruptions=["contrast"], mean=np.zeros(3), std=np.ones(3))
    assert (other.provenance.mean, other.provenance.std) == ((0, 0, 0), (1, 1, 1))
    few = Images(sample.pixels[:2], np.array([0, 1]))
    with pytest.raises(ValueError, match="gives 4 logits, but two, corrupted on the fly has 2 classes; name"):
        freqfast.evaluate(model, ImageData("two", ("a", "b"), few, few), corruptions=["contrast"])


def test_all_that_can_run_here_by_default(sample):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    found = freqfast.evaluate(model, sample[:1], mean=MEAN, std=STD)
    assert tuple(found.accuracy) == freqfast.corruptions.registry.available()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "runs/a"}, TypeError, "model must be a torch.nn.Module, got str"),
        ({"mean": None}, ValueError, "pass mean and std, the model's normalisation"),
        ({"mean": (125, 123, 114)}, ValueError, "divide those of pixels from 0 to 255 by 255"),
        ({"mean": 0.5}, ValueError, "mean must be three numbers"),
        ({"labels": None}, TypeError, "labels go with an array of images, got ndarray and NoneType"),
        ({"images": 3, "labels": None}, TypeError, "or a DataLoader, got int"),
        ({"images": [], "labels": None}, ValueError, "the DataLoader gives no images"),
        ({"images": [{"image": 1, "label": 2}], "labels": None}, TypeError, "must give images and labels, got a dict"),
        ({"images": [np.zeros((1, 16, 16, 3), np.uint8)], "labels": None}, TypeError, "and labels, got a ndarray"),
        ({"images": np.zeros((6, 16, 16, 3))}, ValueError, "images must be uint8 of shape"),
        ({"images": np.zeros((6, 16, 16), np.uint8)}, ValueError, "images must be uint8 of shape"),
        ({"images": np.zeros((6, 16, 16, 1), np.uint8)}, ValueError, "cannot take images of 16x16x1"),
        ({"images": np.zeros((0, 16, 16, 3), np.uint8), "labels": np.zeros(0, int)}, ValueError, "there are no images"),
        ({"labels": [0.5] * 6}, TypeError, "labels must be integers, got float64"),
        ({"labels": [0, 1]}, ValueError, "labels must be 6 int64"),
        ({"corruptions": ["rain"]}, ValueError, "'rain'"),
        ({"corruptions": []}, ValueError, "no corruption is named"),
    ],
)
def test_invalid_arguments(model, sample, change, error, message):
    given = {"model": model, "images": sample.pixels, "labels": sample.labels} | change
    with pytest.raises(error, match=message):
        evaluate(**given)


def test_a_loader_of_another_normalisation(model, sample):
    with pytest.raises(ValueError, match=r"gives pixels from -0\.\d+ to 1\.\d+ in place of 0 to 1"):
        evaluate(model, loader(sample), std=(0.3, 0.4, 0.5))


def test_a_loader_that_does_not_normalise(model, sample):
    batches = [(images.float() / 255, labels) for images, labels in loader(sample, normalise=False)]
    with pytest.raises(ValueError, match="no value from the DataLoader is below 0, so it does not normalise"):
        evaluate(model, batches)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((6, 3, 16, 16), "gives pixels from nan to nan in place of 0 to 1"),
        ((6, 16, 16), r"must give images \(n, 3, H, W\), got floats of shape \(6, 16, 16\)"),
        ((6, 4, 16, 16), r"got floats of shape \(6, 4, 16, 16\)"),
    ],
)
def test_loaders_of_what_are_no_images(model, sample, shape, message):
    with pytest.raises(ValueError, match=message):
        evaluate(model, [(torch.full(shape, torch.nan), torch.tensor(sample.labels))])


def test_a_numpy_seed_is_recorded(model, sample, tmp_path):
    evaluate(model, sample, seed=np.int64(5)).save(tmp_path / "found.json")
    assert CorruptionResult.load(tmp_path / "found.json").provenance.seed == 5
