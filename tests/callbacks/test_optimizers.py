"""The gains in the optimizer: once, in the right group and place, whatever happened before."""

from functools import partial

import pytest
import torch
from fastai.optimizer import Adam, OptimWrapper, ranger

from freqfast.callbacks import SpectralModulation
from tests.support import learners

OPTIMIZERS = {
    "Adam": Adam,
    "Nesterov": partial(OptimWrapper, opt=torch.optim.SGD, momentum=0.9, nesterov=True),
    "ranger": ranger,
}


def names_by_group(learn):
    """Names of the parameters in each of the optimizer's groups, in its order."""
    names = {id(p): name for name, p in learn.model.named_parameters()}
    return [[names[id(p)] for p in group] for group in learn.opt.param_lists]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gains_that_are_added_later_have_the_same_place_and_a_state(name, make_learner):
    early, late = (make_learner(opt_func=OPTIMIZERS[name]) for _ in range(2))
    early.add_cb(SpectralModulation())
    early.create_opt()
    late.fit(1)
    late.save("plain")
    late.load("plain")
    late.add_cb(SpectralModulation())
    assert names_by_group(late) == names_by_group(early)
    assert names_by_group(late)[0][:3] == ["0.0.weight", "0.0.bias", "0.0.log_gain"]
    late.fit(1)
    late.save("late")
    assert learners.conv(late).log_gain.any()
    fresh = make_learner(SpectralModulation(), opt_func=OPTIMIZERS[name], seed=1).load("late")
    learners.assert_same(learners.snapshot(late), learners.snapshot(fresh))
    late.export()  # makes a new optimizer and loads the old one's state into it
    for learn in (fresh, late):
        learn.fit(1)
        learners.assert_consistent(learn)


def test_an_optimizer_that_was_built_by_hand(make_learner, make_model):
    model = make_model()
    optimizer = OptimWrapper(opt=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    learn = make_learner(SpectralModulation(), model, opt_func=optimizer)
    learn.create_opt()  # as `load` does before the first fit
    assert names_by_group(learn)[0][2] == "0.0.log_gain"
    learn.fit(1, 0.1)
    assert float(learners.conv(learn).log_gain.detach().abs().max()) > 0
    learners.assert_consistent(learn)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_splitter_that_names_parameters(frozen, make_learner, make_model):
    without = make_learner(SpectralModulation(), splitter=lambda model: [list(model[1].parameters())])
    without.fit(1, 0.1)
    assert [len(group) for group in without.opt.param_lists] == [2]
    model = make_model()
    groups = [list(model[0].parameters()), list(model[1].parameters())]
    learn = make_learner(SpectralModulation(), model, splitter=lambda _: groups)
    if frozen:
        learn.freeze()
    learn.fit(1, 0.1)
    gain = learners.conv(learn).log_gain
    assert (gain.requires_grad, bool(gain.any())) == (not frozen, not frozen)
    learners.assert_consistent(learn)
