import pickle
import warnings

import fastai.callback.schedule  # noqa: F401
import matplotlib
import numpy as np
import pytest
import torch
from fastai.callback.mixup import MixUp
from fastai.data.transforms import Normalize
from fastai.interpret import ClassificationInterpretation
from fastai.learner import Learner, load_learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.torch_core import TensorCategory, TensorImage, set_seed
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from freqfast.data import ImageData, ImageSet, load_data
from freqfast.data.loaders import ArrayDataset, CropFlip, InMemoryDL, dataloaders

matplotlib.use("agg")


@pytest.fixture(scope="module")
def data():
    photos = load_data("photos")
    return ImageData("photos", photos.classes, photos.train.head(300), photos.test.head(150))


@pytest.fixture
def dls(data):
    return dataloaders(data, batch_size=32, device="cpu")


@pytest.fixture
def learn(dls, tmp_path):
    set_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )
    learner = Learner(dls, model, metrics=accuracy, path=tmp_path)
    with learner.no_bar(), learner.no_logging():
        yield learner


def normalised(images, data):
    """What the model should see, by NumPy: ``(N, 3, H, W)``."""
    pixels = (images.astype(np.float64) / 255 - np.array(data.mean)) / np.array(data.std)
    return pixels.transpose(0, 3, 1, 2)


def test_sizes_and_names(dls, data):
    assert (dls.train.n, dls.valid.n) == (300, 150)
    assert (len(dls.train), len(dls.valid)) == (9, 3)
    assert dls.c == 10
    assert list(dls.vocab) == list(data.classes)
    assert dls.vocab.o2i["rocket"] == data.classes.index("rocket")
    assert isinstance(dls.train_ds.loss_func, CrossEntropyLossFlat)


def test_training_batch(dls):
    x, y = dls.one_batch()
    assert type(x) is TensorImage
    assert type(y) is TensorCategory
    assert x.shape == (32, 3, 32, 32)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.shape == (32,)
    assert y.dtype == torch.int64
    assert isinstance(dls.train.after_batch.fs[-1], Normalize)


def test_validation_holds_every_test_image_in_order(dls, data):
    batches = list(dls.valid)
    assert [len(y) for _, y in batches] == [64, 64, 22]
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_allclose(x.numpy(), normalised(data.test.images, data), atol=1e-5)
    np.testing.assert_array_equal(y.numpy(), data.test.labels)
    assert batches[0][0].is_contiguous(memory_format=torch.channels_last)


def test_training_epoch_shuffles_and_drops_the_rest(data):
    rng = np.random.default_rng(0)  # photographs have patches that are alike
    noise = ImageSet(rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8), data.train.labels)
    dls = dataloaders(ImageData("noise", data.classes, noise, noise), batch_size=64, device="cpu", augment=False)
    found = {image.numpy().tobytes() for image in normalised_rows(dls.train)}
    assert len(found) == 256  # 300 less the last, incomplete batch; no image twice
    first, second = (torch.cat([y for _, y in dls.train]) for _ in range(2))
    assert not torch.equal(first, second)


def normalised_rows(loader):
    return torch.cat([x for x, _ in loader]).contiguous()


def test_seed_repeats_order_and_augmentation(data):
    runs = []
    for _ in range(2):
        set_seed(3)
        runs.append(normalised_rows(dataloaders(data, batch_size=32, device="cpu").train))
    torch.testing.assert_close(*runs, rtol=0, atol=0)


@given(st.integers(5, 12), st.integers(5, 12), st.integers(0, 1000))
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


def test_only_training_images_are_augmented(data):
    same = ImageData("same", data.classes, data.test, data.test)
    plain = normalised(same.test.images, same)
    dls = dataloaders(same, batch_size=150, device="cpu")
    ordered = dls.train.new(shuffle=False)
    assert np.abs(normalised_rows(ordered).numpy() - plain).max() > 0.5
    np.testing.assert_allclose(normalised_rows(dls.valid).numpy(), plain, atol=1e-5)
    with dls.valid.dataset.set_split_idx(0):
        assert np.abs(normalised_rows(dls.valid).numpy() - plain).max() > 0.5
    np.testing.assert_allclose(normalised_rows(dls.valid).numpy(), plain, atol=1e-5)


def test_one_thread_of_work_whatever_workers_are_asked_for(dls):
    loader = dls.valid.new(num_workers=4, bs=50)
    assert loader.num_workers == 1  # fastai's word for none
    assert [len(y) for _, y in loader] == [50, 50, 50]


# What a Learner does with them


def test_fit_learns_and_reports(learn):
    before = learn.validate()[0]
    learn.fit_one_cycle(3, 0.03)
    loss, acc = learn.validate()
    assert loss < before
    assert acc > 0.2


def test_predictions_keep_the_order(learn, data):
    preds, targets = learn.get_preds()
    np.testing.assert_array_equal(targets.numpy(), data.test.labels)
    inputs = torch.tensor(normalised(data.test.images, data), dtype=torch.float32)
    with torch.no_grad():
        expected = learn.model(inputs).softmax(1)
    torch.testing.assert_close(torch.Tensor(preds), expected, atol=1e-5, rtol=1e-5)
    _, targets = learn.get_preds(ds_idx=0)
    np.testing.assert_array_equal(targets.numpy(), data.train.labels)


def as_array(images):
    return images


def as_tensor(images):
    return torch.as_tensor(images)


def as_pillow(images):
    return [Image.fromarray(image) for image in images]


def as_list_of_arrays(images):
    return list(images)


@pytest.mark.parametrize("form", [as_array, as_tensor, as_pillow, as_list_of_arrays])
def test_test_dl_takes_any_images(learn, data, form):
    expected, _ = learn.get_preds()
    loader = learn.dls.test_dl(form(data.test.images[:70]))
    assert isinstance(loader, InMemoryDL)
    preds, targets = learn.get_preds(dl=loader)
    assert targets is None
    torch.testing.assert_close(preds, expected[:70])


def test_test_dl_takes_files(learn, data, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, data.test.images, strict=False):
        Image.fromarray(image).save(path)
    preds, _ = learn.get_preds(dl=learn.dls.test_dl(paths))
    torch.testing.assert_close(preds, learn.get_preds()[0][:3])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], "one size, got 4x4 and 6x4"),
        (np.zeros((2, 4, 4, 3), np.float32), "must be uint8"),
        (np.zeros((4, 4, 3), np.uint8), "must be uint8"),
    ],
)
def test_unsound_test_images(dls, items, message):
    with pytest.raises(ValueError, match=message):
        dls.test_dl(items)


def test_predict_one_image(learn, data):
    expected, _ = learn.get_preds()
    name, label, probabilities = learn.predict(Image.fromarray(data.test.images[5]))
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
    for (image, label), pixels, number in zip(items, data.test.images, data.test.labels, strict=False):
        assert np.abs(image.numpy().transpose(1, 2, 0).astype(int) - pixels).max() <= 1
        assert label == data.classes[number]


def test_showing(learn):
    import matplotlib.pyplot as plt

    names = set(learn.dls.vocab)
    learn.dls.show_batch(max_n=4)
    titles = [axis.get_title() for axis in plt.gcf().axes]
    assert len(titles) == 4
    assert set(titles) <= names
    learn.dls.show_batch(unique=True, max_n=2)
    learn.show_results(max_n=4)
    titles = [axis.get_title().split("\n") for axis in plt.gcf().axes]
    assert all(len(title) == 2 and set(title) <= names for title in titles)
    plt.close("all")


def test_interpretation(learn, data):
    interpretation = ClassificationInterpretation.from_learner(learn)
    assert interpretation.confusion_matrix().sum() == len(data.test)


def test_export_holds_no_images_and_predicts(learn, data, tmp_path):
    expected, _ = learn.get_preds()
    learn.export("learner.pkl")
    assert (tmp_path / "learner.pkl").stat().st_size < 100_000
    assert len(learn.dls.train_ds) == 300
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it unpickles, which here is the point
        loaded = load_learner(tmp_path / "learner.pkl")
    with loaded.no_bar():
        preds, _ = loaded.get_preds(dl=loaded.dls.test_dl(data.test.images))
    torch.testing.assert_close(preds, expected)
    assert list(loaded.dls.vocab) == list(data.classes)


def test_pickle(dls):
    again = pickle.loads(pickle.dumps(dls))
    torch.testing.assert_close(normalised_rows(again.valid), normalised_rows(dls.valid))


def test_lr_find_and_mixup(learn):
    learn.lr_find(num_it=10, show_plot=False)
    learn.fit(1, cbs=MixUp())


def test_new_empty_of_unlabelled_images(dls):
    assert len(dls.test_dl(np.zeros((2, 8, 8, 3), np.uint8)).dataset.new_empty()) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_live_on_the_gpu(data):
    dls = dataloaders(data, batch_size=32, device="cpu").to("cuda")
    for loader in dls:
        assert all(x.is_cuda and y.is_cuda for x, y in loader)
    on_cpu = dataloaders(data, batch_size=32, device="cpu")
    torch.testing.assert_close(normalised_rows(dls.valid).cpu(), normalised_rows(on_cpu.valid))


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
    tiny = ImageSet(np.zeros((2, 4, 9, 3), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="9x4 pixels are too small to pad by 4"):
        dataloaders(ImageData("tiny", ("a",), tiny, tiny), batch_size=2)


def test_dataset_item():
    dataset = ArrayDataset(np.zeros((2, 4, 5, 3), np.uint8), np.array([1, 0]), ("a", "b"), 1)
    image, label = dataset[0]
    assert image.shape == (3, 4, 5)
    assert label == 1
    assert dataset.decode((image, label))[1] == "b"
