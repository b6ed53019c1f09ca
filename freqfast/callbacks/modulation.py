"""Learn a spectral modulation of the first convolution during fit."""

from typing import Any

from fastai.learner import Learner
from fastai.optimizer import OptimWrapper

from freqfast import methods
from freqfast.callbacks.base import MethodCallback
from freqfast.methods.modulation import join_groups


class SpectralModulation(methods.SpectralModulation, MethodCallback):
    """`freqfast.methods.SpectralModulation` in a Learner, attached when it is added, detached when it is removed."""

    def _install_in(self, learn: Learner) -> None:
        super()._install_in(learn)
        built = learn.opt_func if isinstance(learn.opt_func, OptimWrapper) else None  # by hand: before the first fit
        opt: Any = learn.opt or built
        conv = self._find(learn.model)
        if opt and join_groups(opt.param_lists, conv):
            opt.state.setdefault(conv.log_gain, {})  # a plain dict once fastai has loaded a state
            if hasattr(opt, "slow_weights"):  # fastai's Lookahead (`ranger`) finds them by position: have it copy anew
                opt.slow_weights = None
