import numpy as np
import pytest
from scipy import stats

from freqfast.corruptions import FAMILIES, SEVERITIES, TABLES, corrupt, noise
from tests.support.corruption_oracles import PUBLISHED


def definition(name, parameter):
    """Probability that the truncated result is at most each level but the last: ``(256, 255)``, from SciPy's laws."""
    x, bound = np.arange(256)[:, None] / 255, np.arange(1, 256) / 255
    if name == "gaussian_noise":
        return stats.norm(x, parameter).cdf(bound)
    if name == "speckle_noise":
        return stats.norm(x, np.maximum(parameter * x, 1e-9)).cdf(bound)
    if name == "shot_noise":
        return stats.poisson(x * parameter).cdf(np.ceil(bound * parameter - 1e-9) - 1)
    return parameter / 2 + (1 - parameter) * (bound > x)


def law_of(table):
    """What an alias table draws: the probability of every outcome, for each of the 256 rows."""
    cells = table.reshape(256, 256).astype(np.int64)
    share = (cells >> 8) / 2**24 + 0.5
    law = np.zeros((256, 256))
    rows, columns = np.indices((256, 256))
    np.add.at(law, (rows, columns), share / 256)
    np.add.at(law, (rows, cells & 0xFF), (1 - share) / 256)
    return law


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("gaussian_noise", 0.1), ("speckle_noise", 0.2), ("shot_noise", 50), ("shot_noise", 500), ("impulse_noise", 0.07)],
)
def test_tables_are_the_exact_laws(name, parameter):
    law = law_of(noise._alias_table(getattr(noise, f"_{name.replace('noise', 'law')}")(parameter)))
    assert np.allclose(law.sum(axis=1), 1)
    assert np.abs(law.cumsum(axis=1)[:, :-1] - definition(name, parameter)).max() < 1e-6


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", FAMILIES["noise"])
def test_every_level_is_drawn_by_the_published_law(name, table):
    """768 draws a level and severity: each by itself, and the mean change over all of them."""
    images = np.arange(256, dtype=np.uint8)[None, :, None, None].repeat(8, 0).repeat(32, 2).repeat(3, 3)
    (parameters,) = PUBLISHED[table][name].values()
    for severity, parameter in zip(SEVERITIES, parameters, strict=True):
        found = corrupt(images, name, severity, table=table).swapaxes(0, 1).reshape(256, -1)
        counts = np.stack([np.bincount(row, minlength=256) for row in found]) / 768
        law = np.pad(definition(name, parameter), ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
        assert np.abs(counts.cumsum(axis=1) - law[:, 1:]).max() < 5.5 * 0.5 / np.sqrt(768)
        change, share = np.abs(np.arange(256) - np.arange(256)[:, None]), np.diff(law)
        mean = (share * change).sum(axis=1)
        error = np.sqrt(((share * change**2).sum(axis=1) - mean**2).sum() / 768)
        assert abs((counts * change).sum() - mean.sum()) < 4.5 * error


@pytest.mark.parametrize("name", FAMILIES["noise"])
def test_channels_are_drawn_apart(name):
    values = corrupt(np.full((200, 32, 32, 3), 128, dtype=np.uint8), name, 5).reshape(-1, 3).astype(float)
    correlation = np.corrcoef(values.T)[np.triu_indices(3, k=1)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(values))
