"""A parameter that a callback adds to a model joins the optimizer that a Learner has already."""

from typing import Any

from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import nn

from freqfast.spectral.surgery import insert_parameter

__all__ = ["join_optimizer"]


def join_optimizer(learn: Learner, module: nn.Module, parameter: nn.Parameter) -> None:
    """Add a module's new parameter to a Learner's optimizer, where there is one, in the group of the module's weight.

    See `freqfast.spectral.surgery.insert_parameter`. A parameter that is there already stays.
    """
    built = learn.opt_func if isinstance(learn.opt_func, OptimWrapper) else None  # by hand: before the first fit
    opt: Any = learn.opt or built
    if opt and insert_parameter(opt.param_lists, module, parameter):
        opt.state.setdefault(parameter, {})  # a plain dict once fastai has loaded a state
        if hasattr(opt, "slow_weights"):  # fastai's Lookahead (`ranger`) finds them by position: have it copy anew
            opt.slow_weights = None
