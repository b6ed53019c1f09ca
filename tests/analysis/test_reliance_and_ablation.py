import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from freqfast.analysis import ablate_bands, ablation, fourier_heat_map, frequency_reliance
from freqfast.analysis.ablation import draw_ablation, without_filters
from freqfast.analysis.filtering import filtered
from freqfast.records import plain
from freqfast.spectral.bands import Bands, band_shares
from freqfast.spectral.modulation import effective_weight
from freqfast.spectral.spectrum import radial_frequencies


def oracle_filter(images, keep):
    """By the full complex DFT in float64, frequency by frequency; `keep` tells of a radial frequency, mean kept."""
    height, width = images.shape[1:3]
    f = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    mask = np.array(keep(np.hypot(*f)), float)
    mask[0, 0] = 1
    spectrum = np.fft.fft2(images.astype(np.float64), axes=(1, 2)) * mask[..., None]
    return np.fft.ifft2(spectrum, axes=(1, 2)).real


@pytest.mark.parametrize("size", [(8, 8), (7, 6), (5, 9)])
def test_filters_keep_the_mean_and_the_frequencies_of_the_mask(size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    rho = radial_frequencies(*size, half=True)
    rules = [lambda r: r < 0.2, lambda r: r >= 0.3, lambda r: (r >= 0.1) & (r < 0.4), lambda r: r < 0, lambda r: r >= 0]
    for rule in rules:
        found = filtered(images, rule(rho))
        np.testing.assert_allclose(found, oracle_filter(images, rule), atol=1e-3)
        np.testing.assert_allclose(found.mean((1, 2)), images.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found, images, atol=1e-3)


def test_reliance_equals_the_accuracy_on_images_by_the_full_dft(spy, images, labels, oracle):
    cutoffs, progress = (0.0, 0.25, 0.45), []  # of which the second is a frequency of the images
    found = frequency_reliance(spy, images, labels, cutoffs, lambda *told: progress.append(told[:2]))
    assert progress == [(i, 9) for i in range(1, 10)]
    for i, (c, upper) in enumerate(zip(cutoffs, (*cutoffs[1:], 9), strict=True)):
        rules = [lambda r, c=c: r < c, lambda r, c=c: r >= c, lambda r, c=c, upper=upper: (r >= c) & (r < upper)]
        filtered = [oracle_filter(images, rule) for rule in rules]
        np.testing.assert_allclose(spy.seen[i:9:3], filtered, atol=1e-3)
        assert [found.low[i], found.high[i], found.band[i]] == [oracle(pixels, labels) for pixels in filtered]
    assert found.high[0] == found.clean == oracle(images, labels)
    assert found.images == 6


def test_the_last_band_holds_the_highest_frequency(spy):
    board = 255 * (np.indices((8, 8)).sum(0) % 2)
    images = np.broadcast_to(board[None, :, :, None], (2, 8, 8, 3)).astype(np.uint8)
    frequency_reliance(spy, images, np.zeros(2, int), (0.0, 0.3))
    np.testing.assert_allclose(spy.seen[5], images, atol=1e-3)


def test_a_frequency_at_a_cutoff_is_above_it_at_every_size(spy):
    """Of 70 pixels the seventh frequency, 0.1 cycles/pixel, is rounded to just below 0.1."""
    wave = 128 + 100 * np.cos(2 * np.pi * 0.1 * np.arange(70))
    images = np.broadcast_to(wave[None, None, :, None], (2, 8, 70, 3)).astype(np.uint8)
    frequency_reliance(spy, images, np.zeros(2, int), (0.0, 0.1))
    assert np.ptp(spy.seen[1], axis=2).max() < 5  # the low-pass
    np.testing.assert_allclose(spy.seen[3], images, atol=5)


@pytest.mark.parametrize("analyse", [ablate_bands, partial(fourier_heat_map, grid=2), frequency_reliance])
def test_changed_images_are_in_memory_batch_by_batch(analyse, classifier):
    images = np.zeros((150, 64, 64, 3), np.uint8)
    classifier.batch_size = 6
    tracemalloc.start()
    try:
        analyse(classifier, images, np.zeros(150, int))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * images.nbytes  # in float32 they have 4 times their bytes


@pytest.mark.parametrize("analyse", [ablate_bands, fourier_heat_map, frequency_reliance])
def test_labels_must_be_one_for_each_image(analyse, classifier, images, labels):
    expected = plain(analyse(classifier, images, labels))
    assert plain(analyse(classifier, images, torch.tensor(labels))) == expected
    with pytest.raises(ValueError, match=r"labels must be 6 int64, got int64 of shape \(6, 1\)"):
        analyse(classifier, images, labels[:, None])
    with pytest.raises(ValueError, match="there are no images"):
        analyse(classifier, images[:0], labels[:0])


@pytest.mark.parametrize("cutoffs", [(), (0.2, 0.2), (-0.1,), (0.8,), (float("nan"),)])
def test_invalid_cutoffs(classifier, images, labels, cutoffs):
    with pytest.raises(ValueError, match="cut-offs must increase from 0 or more to below sqrt"):
        frequency_reliance(classifier, images, labels, cutoffs)


def test_removed_filters_respond_nowhere_and_the_model_is_not_changed(classifier, images):
    before = classifier.model[0].weight.clone()
    less = without_filters(classifier, [1, 5])
    response = less.model[0](torch.randn(2, 3, 8, 8))
    assert not response[:, [1, 5]].any()
    assert (response[:, [0, 2, 3, 4, 6, 7]] != 0).all()
    assert torch.equal(classifier.model[0].weight, before)
    for same in (np.array([5, 1]), np.isin(np.arange(len(before)), (1, 5)), [i in (1, 5) for i in range(len(before))]):
        assert torch.equal(without_filters(classifier, same).model[0].weight, less.model[0].weight)
    assert (without_filters(classifier, []).predict(images) == classifier.predict(images)).all()


def test_ablation_equals_plain_torch(classifier, model, images, labels, oracle):
    bands = Bands((0, 0.3, 0.5**0.5), ("low", "high"))
    found = ablate_bands(classifier, images, labels, bands)
    classes = band_shares(effective_weight(model[0]), bands).argmax(1)
    for b in range(2):
        less = nn.Sequential(*model)  # the same modules, but for the first
        less[0] = nn.Conv2d(3, 8, 3, padding=1)
        less[0].weight.data = torch.where((classes == b)[:, None, None, None], 0, model[0].weight.data)
        less[0].bias.data = torch.where(classes == b, 0, model[0].bias.data)
        assert found.filters[b] == oracle(images, labels, less)
        low, high = bands.edges[b], (0.3, 9)[b]
        stopped = oracle_filter(images, lambda r, low=low, high=high: (r < low) | (r >= high))
        assert found.response[b] == oracle(stopped, labels)
    assert found.counts.tolist() == torch.bincount(classes, minlength=2).tolist()
    assert found.clean == oracle(images, labels)
    assert found.layer == "0"


@pytest.fixture
def removed(monkeypatch):
    """The filters that are removed, call by call."""
    removed = []

    def spy(classifier, rows, layer):
        removed.append(tuple(rows.tolist()))
        return without_filters(classifier, rows, layer)

    monkeypatch.setattr(ablation, "without_filters", spy)
    return removed


def test_the_control_removes_as_many_filters_at_random_by_the_seed(classifier, images, removed):
    labels, progress = classifier.predict(images), []  # of which other draws lose other shares
    for seed in (0, 0, 1):
        found = ablate_bands(classifier, images, labels, seed=seed, progress=lambda *told: progress.append(told[:2]))
        assert found.seed == seed
    first, again, other = removed[:12], removed[12:24], removed[24:]  # 2 bands, and 5 draws for each
    assert first == again
    assert (first[:2], len(other)) == (other[:2], 12)
    assert first != other
    assert progress == [(i, 14) for i in range(1, 15)] * 3
    for b, draws in enumerate((other[2:7], other[7:])):
        assert {len(set(rows)) for rows in draws} == {found.counts[b]}
        expected = [(without_filters(classifier, rows).predict(images) == labels).mean() for rows in draws]
        assert found.control[b] == pytest.approx(np.mean(expected))
        assert len(set(expected)) > 1


def test_a_band_without_filters(classifier, images, labels):
    found = ablate_bands(classifier, images, labels, {"edges": (0, 0.01, 0.5**0.5), "names": ("none", "all")})
    assert found.counts.tolist() == [0, 8]
    assert found.filters[0] == found.control[0] == found.response[0] == found.clean
    assert found.filters[1] == found.control[1]
    names = [text.get_text() for text in draw_ablation({"a": found}).axes[0].get_yticklabels()]
    assert names[:2] == ["without none frequencies", "without all filters (8 of 8)"]
