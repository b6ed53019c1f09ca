import itertools

import numpy as np
import pytest

from freqfast.analysis import filter_quality
from freqfast.analysis.quality import orthogonality, sparsity, variance_entropy, variance_shares

WEIGHT = np.random.default_rng(0).standard_normal((16, 3, 3, 3))


def test_sparsity_counts_kernels_under_a_hundredth_of_the_largest_weight():
    weight = np.zeros((2, 3, 3, 3))
    weight[0, 0, 1, 1] = -2.0
    weight[0, 1, 0, 0] = 0.0201
    weight[1, 2, 2, 2] = 0.0199
    assert sparsity(weight) == pytest.approx(4 / 6)
    assert sparsity(WEIGHT) == 0
    assert sparsity(np.zeros((2, 2, 3, 3))) == 1


def test_variance_shares_equal_principal_component_analysis():
    from sklearn.decomposition import PCA

    ratios = PCA(svd_solver="full").fit(WEIGHT.reshape(-1, 9)).explained_variance_ratio_
    np.testing.assert_allclose(variance_shares(WEIGHT), ratios, atol=1e-12)
    assert variance_entropy(WEIGHT) == pytest.approx(-sum(r * np.log10(r) for r in ratios))


def test_smallest_and_largest_variance_entropy():
    line = np.linspace(-1, 1, 12).reshape(12, 1, 1, 1) * WEIGHT[:1, :1]
    assert variance_entropy(line) == pytest.approx(0, abs=1e-9)
    pairs = np.concatenate([np.eye(9), -np.eye(9)]).reshape(18, 1, 3, 3)
    assert variance_entropy(pairs) == pytest.approx(np.log10(9))
    assert variance_entropy(np.full((4, 2, 3, 3), 0.1)) == 0


def test_orthogonality_is_one_minus_the_mean_cosine_of_pairs():
    filters = WEIGHT.reshape(16, -1)
    cosines = [abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.combinations(filters, 2)]
    assert orthogonality(WEIGHT) == pytest.approx(1 - np.mean(cosines))
    assert orthogonality(np.eye(9).reshape(9, 1, 3, 3)) == pytest.approx(1)
    assert orthogonality(np.stack([WEIGHT[0], -3 * WEIGHT[0]])) == pytest.approx(0)
    assert filter_quality(np.full((2, 3, 3, 3), 0.02)).orthogonality == 0
    assert orthogonality(WEIGHT[:1]) == 1
    assert orthogonality(np.zeros((3, 1, 3, 3))) == 1


def test_gaussian_kernels_have_the_random_entropy():
    found = filter_quality(WEIGHT, "conv1")
    assert found.variance_entropy == pytest.approx(found.random_entropy, abs=0.04)
    assert (found.layer, found.kernels, len(found.variance)) == ("conv1", 48, 9)
    assert filter_quality(np.zeros((1, 1, 1, 2))).random_entropy == 0


def test_the_random_entropy_is_the_mean_of_fifty_draws():
    rng = np.random.default_rng(0)
    entropies = [variance_entropy(rng.standard_normal((3, 2, 3, 3))) for _ in range(50)]
    assert filter_quality(np.ones((3, 2, 3, 3))).random_entropy == pytest.approx(np.mean(entropies))


@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.zeros((3, 3)), "got \\(3, 3\\)"), (np.zeros((0, 1, 3, 3)), "none of them 0"), (WEIGHT * np.nan, "NaN")],
)
def test_invalid_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        filter_quality(weight)
