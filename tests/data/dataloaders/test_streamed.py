"""DataLoaders of images that stay in files, and the augmentation of these."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastai.torch_core import TensorImage, set_seed
from PIL import Image

from freqfast.data import ImageFiles, Preprocessing, load_data
from freqfast.data.augmentation import RandomResizedCropFlip
from freqfast.data.dataloaders import dataloaders
from tests.support.trees import write_photograph


@pytest.fixture
def data(tmp_path):
    """Photographs of several sizes, 6 for training and 3 for validation in each of two classes."""
    for split, count in (("train", 6), ("val", 3)):
        for name, shift in (("ant", 0), ("bee", 100)):
            for number in range(count):
                write_photograph(tmp_path / split / name / f"{number}.png", number, shift)
    return load_data("folder", tmp_path, image_size=28)


def test_validation_holds_every_test_image_as_it_is_decoded(data):
    dls = dataloaders(data, batch_size=2, device="cpu")
    x, y = (torch.cat(parts) for parts in zip(*dls.valid, strict=True))
    wanted = (np.asarray(data.test.pixels) / 255 - np.array(data.mean)) / np.array(data.std)
    np.testing.assert_allclose(x.numpy(), wanted.transpose(0, 3, 1, 2), atol=1e-5)
    np.testing.assert_array_equal(y.numpy(), data.test.labels)
    assert (x.shape[2:], len(dls.train), dls.c) == ((28, 28), 6, 2)


def test_a_seed_repeats_an_epoch_and_no_image_comes_twice(data):
    epochs = []
    for _ in range(2):
        set_seed(3)
        epochs.append(list(dataloaders(data, batch_size=4, device="cpu").train))
    torch.testing.assert_close(*epochs, rtol=0, atol=0)
    for x, _ in epochs[0]:
        assert x.shape == (4, 3, 28, 28)
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert sorted(torch.cat([y for _, y in epochs[0]]).tolist()) == [0] * 6 + [1] * 6


def test_a_batch_in_any_order_has_each_image_with_its_label(data):
    dataset, rows = dataloaders(data, batch_size=4, device="cpu").train.dataset, [5, 0, 9, 3]
    images, labels = dataset.batch(rows)
    torch.testing.assert_close(images, torch.stack([dataset[row][0] for row in rows]), rtol=0, atol=0)
    assert labels.tolist() == data.train.labels[rows].tolist()


def test_a_corrupt_file_is_named_and_a_loop_that_ends_early_leaves_nothing(data):
    loader = dataloaders(data, batch_size=2, device="cpu").train
    next(iter(loader))
    first = data.train.pixels.paths[0]
    first.write_bytes(first.read_bytes()[:60])
    with pytest.raises(ValueError, match=rf"{first.name} cannot be used as an image"):
        list(loader)


def test_a_pass_from_a_later_batch_on_opens_no_earlier_file(data):
    whole, later = (dataloaders(data, batch_size=1, device="cpu").valid for _ in range(2))
    later.first = 1
    expected = list(whole)[1:]
    for path in data.test.pixels.paths[:2]:
        path.unlink()
    torch.testing.assert_close(list(later), expected, rtol=0, atol=0)


def test_exports_and_predictions(data):
    loader = dataloaders(data, batch_size=2, device="cpu").valid
    assert loader.dataset.new_empty().pixels.shape == (0, 28, 28, 3)
    (x,) = next(iter(loader.new(dataset=[Image.new("RGB", (28, 28))])))
    assert x.shape == (1, 3, 28, 28)


def test_predictions_take_images_as_validation_does(data):
    dls = dataloaders(data, batch_size=3, device="cpu")
    expected, _ = dls.valid.one_batch()
    paths = data.test.pixels.paths
    for loaders in (dls, pickle.loads(pickle.dumps(dls.new_empty()))):
        for items in (paths, [Image.open(path) for path in paths], data.test.pixels):
            (found,) = loaders.test_dl(items).one_batch()
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_files_without_a_size(data):
    whole = replace(data.train, pixels=ImageFiles(data.train.pixels.paths, Preprocessing(crop=28)))
    with pytest.raises(ValueError, match="training on images in files needs one size; give resize and crop"):
        dataloaders(replace(data, train=whole), batch_size=2)


def test_crops_of_ramps_tell_where_they_lie():
    """Red grows to the right and green downwards, so that their slopes in a crop are its sides."""
    torch.manual_seed(0)
    side, size, count = 64, 56, 500
    ramp = ((torch.arange(side) + 0.5) * 255 / side).expand(count, side, side)
    transform = RandomResizedCropFlip(size)
    transform.split_idx = None
    image = torch.stack([ramp, ramp.transpose(1, 2), ramp], 1).round().byte()
    found = transform(TensorImage(image)).as_subclass(torch.Tensor)
    rows = found[:, 1].mean(2)
    columns = found[:, 0].mean(1)
    flipped = columns[:, 0] > columns[:, -1]
    columns = torch.where(flipped[:, None], columns.flip(1), columns)
    low, high = (size // 4, 3 * size // 4)
    width, height = ((part[:, high] - part[:, low]) * size / (high - low) for part in (columns, rows))
    assert 0.4 < flipped.float().mean() < 0.6
    assert 0.35 - 0.02 < (width * height).min() < 0.4
    assert (width * height).max() > 0.9
    assert (width / height).log().abs().max() < math.log(4 / 3) + 0.05
    small, places = (width < 0.9) & (height < 0.9), []
    for part, length in ((columns, width), (rows, height)):
        middle = (part[:, size // 2 - 1] + part[:, size // 2]) / 2
        assert (middle - length / 2).min() > -0.02  # inside the image
        assert (middle + length / 2).max() < 1.02
        assert middle.std() > 0.03
        places.append(((middle - length / 2) / (1 - length))[small])
    assert torch.corrcoef(torch.stack(places))[0, 1].abs() < 0.25  # drawn apart
