"""A parameter that a callback adds to a model joins the optimizer that a Learner has already."""

from typing import Any

from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import nn


def join_optimizer(learn: Learner, module: nn.Module, parameter: nn.Parameter) -> None:
    """Add a module's new parameter to a Learner's optimizer, where there is one, after the module's others.

    It joins the group of the module's weight: a group of its own would break schedules that were made for the existing
    groups. Optimizers save their state by position, and an optimizer that is made later has the parameter in the same
    place.
    """
    built = learn.opt_func if isinstance(learn.opt_func, OptimWrapper) else None  # by hand: before the first fit
    opt: Any = learn.opt or built
    weight: Any = module.weight
    for group in opt.param_lists if opt else ():
        positions = {id(other): i for i, other in enumerate(group)}
        if id(weight) in positions and id(parameter) not in positions:
            group.insert(1 + max(positions.get(id(own), -1) for own in module.parameters(recurse=False)), parameter)
            parameter.requires_grad_(weight.requires_grad)  # the group may have been frozen without it
            opt.state.setdefault(parameter, {})  # a plain dict once fastai has loaded a state
            if hasattr(opt, "slow_weights"):  # fastai's Lookahead (`ranger`) finds them by position: have it copy anew
                opt.slow_weights = None
