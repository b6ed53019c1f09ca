"""The invariant: after every optimizer step the counts by band are exact and every filter has its purity."""

from functools import partial

import torch
from fastai.optimizer import SGD, Adam, OptimWrapper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freqfast.callbacks import FrequencyProportion, SpectralModulation, SpectrumPerturbation
from freqfast.spectral.bands import Bands
from tests.support import learners

OPTIMIZERS = {
    "Adam": (Adam, 0.03),
    "SGD": (partial(SGD, mom=0.9), 0.3),
    "Nesterov": (partial(OptimWrapper, opt=torch.optim.SGD, momentum=0.9, nesterov=True), 0.3),
}
few = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def enforcements(draw):
    """A layer's kernel and filters, bands, proportions in any ratio of integers, and a purity that can be reached."""
    kernel_size, count = draw(st.sampled_from([(3, 2), (2, 2), (5, 3), (7, 3)]))
    parts = draw(st.lists(st.integers(0, 7), min_size=count, max_size=count).filter(any))
    bands = Bands.equal_area(count)
    limit = bands.reachable((kernel_size, kernel_size)).min()
    purity = 0.5 + draw(st.floats(0.02, 0.98)) * (limit - 0.5)
    filters = draw(st.integers(1, 12))
    proportions = {name: part / sum(parts) for name, part in zip(bands.names, parts, strict=True)}
    return kernel_size, filters, FrequencyProportion(proportions, bands, purity)


@few
@given(
    enforced=enforcements(),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    modulation=st.sampled_from([None, "before", "after"]),
    perturbed=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_after_every_step(enforced, optimizer, modulation, perturbed, seed, make_learner, make_model):
    kernel_size, filters, callback = enforced
    cbs = [callback]
    if modulation:
        cbs.insert(0 if modulation == "before" else 1, SpectralModulation(per_filter=bool(seed % 2), sigma=0.5))
    if perturbed:
        cbs.append(SpectrumPerturbation())
    opt_func, lr = OPTIMIZERS[optimizer]
    learn = make_learner(cbs, make_model(kernel_size, filters, seed), seed=seed, opt_func=opt_func)
    spy = learners.StepSpy(lambda: learners.assert_enforced(learn, callback))
    learn.fit(1, lr, cbs=spy)
    learn.fit_one_cycle(1, lr, cbs=spy)
    assert spy.calls == 6
    learners.assert_consistent(learn)
