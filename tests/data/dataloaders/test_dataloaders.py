"""The batches that the DataLoaders give, and where they lie."""

import pickle

import fastai.callback.schedule  # noqa: F401
import numpy as np
import pytest
import torch
from fastai.data.transforms import Normalize
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import TensorCategory, TensorImage
from hypothesis import given, settings
from hypothesis import strategies as st

from freqfast.data import ImageData, Images
from freqfast.data.dataloaders import ArrayDataset, CropFlip, InMemoryDL, dataloaders


def test_sizes_names_and_types(dls, data):
    assert (dls.train.n, dls.valid.n, len(dls.train), len(dls.valid)) == (300, 150, 9, 3)
    assert (dls.c, list(dls.vocab)) == (10, list(data.classes))
    assert isinstance(dls.train_ds.loss_func, CrossEntropyLossFlat)
    assert dls.train_ds.decode(dls.train_ds[7])[1] == data.classes[data.train.labels[7]]
    x, y = dls.one_batch()
    assert (type(x), x.shape, x.dtype) == (TensorImage, (32, 3, 32, 32), torch.float32)
    assert (type(y), y.shape, y.dtype) == (TensorCategory, (32,), torch.int64)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert isinstance(dls.train.after_batch.fs[-1], Normalize)


def test_validation_holds_every_test_image_in_order(dls, data, normalised):
    batches = list(dls.valid)
    assert [len(y) for _, y in batches] == [64, 64, 22]
    assert dls.valid.new(num_workers=4).num_workers == 1  # fastai's word for none
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_allclose(x.numpy(), normalised(data.test.pixels, data), atol=1e-5)
    np.testing.assert_array_equal(y.numpy(), data.test.labels)
    assert batches[0][0].is_contiguous(memory_format=torch.channels_last)


def test_training_epoch_shuffles_and_drops_the_rest(data):
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (300, 1, 1, 3), dtype=np.uint8)  # images of one colour: cropped and flipped the same
    plain = Images(np.tile(colours, (1, 8, 8, 1)), data.train.labels)
    dls = dataloaders(ImageData("plain", data.classes, plain, plain), batch_size=64, device="cpu")
    found = {image.numpy().tobytes() for image in normalised_rows(dls.train)}
    assert len(found) == 256  # 300 less the last, incomplete batch; no image twice
    first, second = (torch.cat([y for _, y in dls.train]) for _ in range(2))
    assert not torch.equal(first, second)


def normalised_rows(loader):
    return torch.cat([x for x, _ in loader]).contiguous()


@given(st.integers(5, 12), st.integers(5, 12), st.integers(0, 1000))
@settings(max_examples=10)
def test_crop_flip_gives_a_window_of_the_padded_image(height, width, seed):
    torch.manual_seed(seed)
    images = torch.randint(0, 256, (6, 3, height, width), dtype=torch.uint8)
    transform = CropFlip()
    transform.split_idx = None
    out = transform(TensorImage(images))
    assert out.dtype == torch.uint8
    for image, result in zip(images.numpy(), out.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (4, 4), (4, 4)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        either_way = np.stack([windows, windows[..., ::-1]])
        assert (either_way == result[None, :, None, None]).all((1, 4, 5)).any()


def test_crop_flip_draws_every_window():
    torch.manual_seed(0)
    image = torch.arange(16 * 16, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(4000, 3, 16, 16)
    transform = CropFlip()
    transform.split_idx = None
    found, counts = np.unique(transform(TensorImage(image)).numpy().reshape(4000, -1), axis=0, return_counts=True)
    assert len(found) == 9 * 9 * 2
    assert counts.max() < 60  # uniform: 25 each
    assert 1900 < counts[found[:, 7] > found[:, 8]].sum() < 2100  # flipped, of 4000


def test_only_training_images_are_augmented(data, normalised):
    same = ImageData("same", data.classes, data.test, data.test)
    plain = normalised(same.test.pixels, same)
    dls = dataloaders(same, batch_size=150, device="cpu")
    assert np.abs(normalised_rows(dls.train.new(shuffle=False)).numpy() - plain).max() > 0.5
    np.testing.assert_allclose(normalised_rows(dls.valid).numpy(), plain, atol=1e-5)
    with dls.valid.dataset.set_split_idx(0):
        assert np.abs(normalised_rows(dls.valid).numpy() - plain).max() > 0.5
    np.testing.assert_allclose(normalised_rows(dls.valid).numpy(), plain, atol=1e-5)


def test_pickle(dls):
    again = pickle.loads(pickle.dumps(dls))
    torch.testing.assert_close(normalised_rows(again.valid), normalised_rows(dls.valid))


def test_moves_to_another_device(dls):
    # The meta device needs no hardware, and mixing it with another is an error, so nothing can stay behind unseen.
    dls.one_batch()
    dls.to("meta")
    for loader in dls:
        assert {part.device.type for part in loader.one_batch()} == {"meta"}


@pytest.mark.parametrize("batch_size", [0, 301])
def test_batch_size_out_of_range(data, batch_size):
    with pytest.raises(ValueError, match=rf"batch_size must lie in 1\.\.300, .* got {batch_size}"):
        dataloaders(data, batch_size=batch_size)


def test_tiny_images_cannot_be_cropped():
    tiny = Images(np.zeros((2, 4, 9, 3), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="9x4 pixels are too small to crop; use images of 5 or more"):
        dataloaders(ImageData("tiny", ("a", "b"), tiny, tiny), batch_size=2)


@pytest.mark.parametrize(
    ("images", "count", "sizes"), [(9, 2, [2, 3]), (9, 3, [2, 2]), (10, 2, [2, 2, 1]), (2, 2, [1])]
)
def test_parts_of_the_batches_make_them_whole(images, count, sizes):
    """All ranks have as many batches, of such sizes on the first, and none is empty."""
    dataset = ArrayDataset(Images(np.zeros((images, 8, 8, 3), np.uint8), np.arange(images), range(images)), split_idx=1)
    parts = []
    for rank in range(count):
        loader = InMemoryDL(dataset, bs=4)
        loader.part = (rank, count)
        parts.append([labels.tolist() for _, labels in loader.create_batches(range(images))])
    assert [len(batch) for batch in parts[0]] == sizes
    assert all(len(part) == len(sizes) and all(part) for part in parts)
    assert sorted(label for part in parts for batch in part for label in batch) == list(range(images))
