from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

import freqfast.corruptions.batch as batch
from freqfast.corruptions import corrupt, plugin_corruptions
from freqfast.corruptions.registry import known_names
from tests.support import corrupted

BUILT_IN = tuple(name for name in known_names() if name not in plugin_corruptions())


def test_type_layout_and_input_are_kept(photos):
    images = photos[:5]
    before = images.copy()
    last = corrupt(images, "impulse_noise", 3)
    first = corrupt(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), "impulse_noise", 3)
    tensor = corrupt(torch.from_numpy(images), "impulse_noise", 3)
    assert (type(last), last.dtype, last.shape) == (np.ndarray, np.uint8, images.shape)
    assert (type(tensor), tensor.dtype) == (torch.Tensor, torch.uint8)
    assert np.array_equal(first.transpose(0, 2, 3, 1), last)
    assert np.array_equal(tensor.numpy(), last)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("side", [32, 64])  # by some methods for small images, and by others for large ones
def test_an_image_depends_only_on_itself_and_its_index(name, side, photos, frost_dir, monkeypatch):
    """Neither on the other images of the batch nor on the number of threads."""
    images = photos[:8] if side == 32 else np.concatenate([corrupted.photographs(side)] * 2)
    monkeypatch.setattr(batch, "_CHUNK_VALUES", 3 * images[0].size)
    whole = corrupt(images, name, 2, seed=5, frost_dir=frost_dir)
    order = np.random.default_rng(0).permutation(8)
    torch.set_num_threads(3)
    shuffled = corrupt(images[order], name, 2, seed=5, index=order, frost_dir=frost_dir)
    assert torch.get_num_threads() == 3
    assert np.array_equal(shuffled, whole[order])
    alone = corrupt(images[4:5], name, 2, seed=5, index=[4], frost_dir=frost_dir)
    assert np.array_equal(alone[0], whole[4])


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_default_device_does_not_matter(name, photos, frost_dir):
    images = photos[:1, :20, :23]  # a size of its own, so that nothing is cached yet
    with torch.device("meta"):
        found = corrupt(images, name, 1, frost_dir=frost_dir)
    assert np.array_equal(found, corrupt(images, name, 1, frost_dir=frost_dir))


def test_concurrent_calls_do_not_disturb_each_other(photos, monkeypatch):
    monkeypatch.setattr(batch, "_CHUNK_VALUES", photos[0].size - 1)  # of which each image is a chunk, though larger
    expected = {name: corrupt(photos[:8], name, 1) for name in BUILT_IN if name != "frost"}
    with ThreadPoolExecutor(4) as pool:
        futures = {name: pool.submit(corrupt, photos[:8], name, 1) for name in expected}
    assert all(np.array_equal(futures[name].result(), expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["elastic_transform", "inverse_sparkles"])
def test_shares_of_the_image_scale_with_it(name, photos):
    """An image of twice the pixels changes as much."""
    images = photos[:50]
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    change, change_large = (
        np.abs(corrupt(x, name, 5, table="cifar10").astype(float) - x).mean() for x in (images, large)
    )
    assert change_large == pytest.approx(change, rel=0.15)


def test_empty_batch_and_memory_map(photos, tmp_path):
    assert corrupt(photos[:0], "fog", 1).shape == corrupt(photos[:0], "fog", 1, index=[]).shape == (0, 32, 32, 3)
    np.save(tmp_path / "images.npy", photos[:10])
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    result = corrupt(mapped, "contrast", 1)
    assert type(result) is np.ndarray
    assert np.array_equal(result, corrupt(photos[:10], "contrast", 1))


def test_any_seed_and_index_make_other_draws(photos):
    images, index = np.repeat(photos[:1], 5, axis=0), np.array([-(2**63), -1, 0, 1, 2**63 - 1])
    draws = [corrupt(images, "gaussian_noise", 3, seed=seed, index=index) for seed in (-(2**70), -1, 0, 2**63, 2**70)]
    assert len({image.tobytes() for noisy in draws for image in noisy}) == 25


IMAGE = np.zeros((1, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("seed", [np.int64(1), True])
def test_integers_of_other_types_are_the_same_seed(seed, photos):
    assert np.array_equal(corrupt(photos[:2], "gaussian_noise", 3, seed), corrupt(photos[:2], "gaussian_noise", 3, 1))


@pytest.mark.parametrize("places", [("one", "one"), ("one", "other")])
def test_frost_photographs_that_change(places, tmp_path, monkeypatch):
    """They are read again when they are written anew, and when another folder is the current one."""
    brightest = []
    for place, level in zip(places, (50, 250), strict=True):
        (tmp_path / place).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / place)
        for name in corrupted.FROST_NAMES:
            Image.new("L", (100, 100), level).save(name)
        brightest.append(int(corrupt(IMAGE, "frost", 5, frost_dir=".").max()))
    assert brightest[1] == pytest.approx(5 * brightest[0], abs=5)


@pytest.mark.parametrize(
    ("images", "name", "severity", "options", "error", "message"),
    [
        (IMAGE.astype(float), "fog", 1, {}, TypeError, "float64; scale"),
        ([[1]], "fog", 1, {}, TypeError, "got list"),
        (IMAGE[0], "fog", 1, {}, ValueError, r"got shape \(32, 32, 3\)"),
        (IMAGE[..., :1], "fog", 1, {}, ValueError, r"got shape \(1, 32, 32, 1\)"),
        (IMAGE[:, :7], "fog", 1, {}, ValueError, "at least 8 x 8 pixels, got 7 x 32"),
        (IMAGE, "fog", 0, {}, ValueError, "got 0"),
        (IMAGE, "fog", 1, {"seed": 1.0}, TypeError, "'float' object cannot be interpreted as an integer"),
        (IMAGE, "fog", True, {}, ValueError, "got True"),
        (IMAGE, "fogg", 1, {}, ValueError, "'fogg'; there are gaussian_noise"),
        (IMAGE, "fog", 1, {"table": "cifar"}, ValueError, "auto, cifar10, tiny-imagenet, imagenet, got 'cifar'"),
        (IMAGE, "fog", 1, {"index": [1, 2]}, ValueError, r"shape \(1,\)"),
        (IMAGE, "fog", 1, {"index": [0.5]}, ValueError, "integers"),
        (IMAGE, "fog", 1, {"index": [2**64]}, ValueError, "integers"),
    ],
)
def test_wrong_input_is_one_clear_line(images, name, severity, options, error, message):
    with pytest.raises(error, match=message) as caught:
        corrupt(images, name, severity, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def bad(images, severity): return images", r"^corruption 'bad' failed at severity 1 \(TypeError: "),
        ("def bad(images, severity, rng): return images[:, :, ::2]", "^corruption 'bad' turned uint8 .* into .*uint8"),
        ("def bad(images, severity, rng): return images / 2", r"^corruption 'bad' turned uint8 .* into torch\.float32"),
        ("def bad(images, severity, rng): return images.numpy()", "must return a tensor, got ndarray"),
        ("bad = 3", r"^corruption entry point 'bad' \(other_corruptions:bad\) is no function$"),
    ],
)
def test_faulty_corruption_of_another_package(install, source, message):
    install("corruptions", source, bad="bad")
    with pytest.raises(ValueError, match=message):
        corrupt(IMAGE, "bad", 1)


def test_a_failure_leaves_the_number_of_threads(install, photos, monkeypatch):
    install("corruptions", "def bad(images, severity, rng): raise RuntimeError('bad')", bad="bad")
    monkeypatch.setattr(batch, "_CHUNK_VALUES", 3 * photos[0].size)
    torch.set_num_threads(3)
    with pytest.raises(ValueError, match="'bad' failed"):
        corrupt(photos[:8], "bad", 1)
    assert torch.get_num_threads() == 3


def test_a_corruption_of_another_package_may_write_on_what_it_gets(install, photos):
    install("corruptions", "def black(images, severity, rng): return images.fill_(0)", black="black")
    last = torch.from_numpy(photos[:2].copy())
    for images in (last, last.permute(0, 3, 1, 2).contiguous()):
        before = images.clone()
        assert not corrupt(images, "black", 1).any()
        assert torch.equal(images, before)
