import numpy as np
import torch
from scipy import stats

from freqfast.corruptions import BatchRandom


def streams(n, seed=0):
    return BatchRandom.for_images(seed, "test", 1, torch.arange(n))


def test_splitmix64_reference_values():
    """The first outputs of SplitMix64 from seed 1234567, as published with the algorithm's reference code."""
    rng = BatchRandom(torch.tensor([1234567]))
    words = rng.bits((5,), torch.int64)[0].numpy().view(np.uint64)
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert words.tolist() == expected


def test_streams_of_images_are_those_of_other_versions():
    """Results of other versions can be merged and compared, since they saw the same images."""
    rng = BatchRandom.for_images(5, "fog", 2, torch.tensor([0, 7]))
    assert rng.bits((2,), torch.int64).tolist() == [
        [-6642915574018453385, 6776641277693044406],
        [884390010882570396, 9140776113308129819],
    ]


def test_every_draw_moves_on_and_rows_stand_alone():
    whole = streams(6)
    a, b = whole.uniform(shape=(4,)), whole.uniform(shape=(4,))
    assert not torch.equal(a, b)
    one = BatchRandom.for_images(0, "test", 1, torch.tensor([3]))
    assert torch.equal(one.uniform(shape=(4,))[0], a[3])
    assert torch.equal(one.uniform(shape=(4,))[0], b[3])


def test_uniform_integers_and_normal_follow_their_laws():
    rng = streams(50)
    uniform = rng.uniform(-2.0, 3.0, (2000,)).numpy().ravel()
    assert uniform.min() >= -2
    assert uniform.max() < 3
    assert stats.kstest(uniform, stats.uniform(-2, 5).cdf).pvalue > 1e-3
    counts = np.bincount(rng.integers(7, (2000,)).numpy().ravel(), minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > 1e-3
    normal = rng.normal(1.0, 2.0, (2000,)).numpy().ravel()
    assert stats.kstest(normal, stats.norm(1, 2).cdf).pvalue > 1e-3


def test_integers_take_a_bound_for_each_image():
    high = torch.tensor([1, 10, 1000])
    draws = torch.stack([BatchRandom.for_images(s, "test", 1, torch.arange(3)).integers(high) for s in range(300)])
    assert torch.all(draws < high)
    assert draws[:, 2].max() > 900


def test_neighbouring_streams_are_uncorrelated():
    normal = streams(400).normal(shape=(500,)).numpy()
    correlation = np.corrcoef(normal)[np.triu_indices(400, k=1)]
    assert stats.kstest(correlation * np.sqrt(500), "norm").pvalue > 1e-3
