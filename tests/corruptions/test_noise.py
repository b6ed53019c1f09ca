import numpy as np
import pytest
from scipy import stats

from freqfast.corruptions import FAMILIES, corrupt, noise

CASES = [("gaussian", 0.04), ("gaussian", 0.1), ("speckle", 0.06), ("speckle", 0.2), ("shot", 50), ("shot", 500)]


def law_of(table):
    """What an alias table draws: the probability of every outcome, for each of the 256 rows."""
    cells = table.reshape(256, 256).astype(np.int64)
    share = (cells >> 8) / 2**24 + 0.5
    law = np.zeros((256, 256))
    rows, columns = np.indices((256, 256))
    np.add.at(law, (rows, columns), share / 256)
    np.add.at(law, (rows, cells & 0xFF), (1 - share) / 256)
    return law


def definition(kind, parameter):
    """Probability that the truncated result is at most each level, from SciPy's distributions."""
    x, bound = np.arange(256)[:, None] / 255, np.arange(1, 256) / 255
    if kind == "gaussian":
        return stats.norm(x, parameter).cdf(bound)
    if kind == "speckle":
        return stats.norm(x, np.maximum(parameter * x, 1e-9)).cdf(bound)
    return stats.poisson(x * parameter).cdf(np.ceil(bound * parameter - 1e-9) - 1)


@pytest.mark.parametrize(("kind", "parameter"), CASES)
def test_tables_are_the_exact_laws(kind, parameter):
    law = law_of(noise._alias_table(noise._LAWS[kind](parameter)))
    assert np.allclose(law.sum(axis=1), 1)
    assert np.abs(law.cumsum(axis=1)[:, :-1] - definition(kind, parameter)).max() < 1e-6


def test_impulse_law():
    law = law_of(noise._alias_table(noise._impulse_law(0.07)))
    expected = np.eye(256) * 0.93
    expected[:, [0, 255]] += 0.035
    assert np.abs(law - expected).max() < 1e-6


@pytest.mark.parametrize("name", FAMILIES["noise"])
def test_channels_are_drawn_apart(name):
    """The statistics of fidelity, which are taken channel by channel, would not show it."""
    values = corrupt(np.full((200, 32, 32, 3), 128, dtype=np.uint8), name, 5).reshape(-1, 3).astype(float)
    correlation = np.corrcoef(values.T)[np.triu_indices(3, k=1)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(values))
