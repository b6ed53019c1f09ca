"""Learn a spectral modulation of the first convolution during fit."""

from typing import cast

from fastai.learner import Learner
from fastai.optimizer import Optimizer, OptimWrapper

from freqfast.callbacks.installing import LayerCallback
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation, bake_modulation
from freqfast.spectral.surgery import find_conv
from freqfast.spectral.tensors import check_not_negative

__all__ = ["SpectralModulation"]


class SpectralModulation(LayerCallback):
    """Learns how much of each spatial frequency the first convolution's filters pass, under random perturbation.

    Adding it to a Learner, in any way, turns the convolution into a `SpectralConv2d` in place, before an optimizer
    exists or by joining the one that does; the gains train like weights, in the group of the layer's own weight. A
    layer that is one already, as in a loaded model, keeps its gains, their form and its seed. Removing it (which
    `fit(cbs=...)` does at the end) bakes what was learned into the plain convolution. After Jia, Bao and Ma (2019,
    arXiv:1911.12044).

    Args:
        per_filter: One gain per filter and frequency; otherwise one per frequency, shared by the layer.
        sigma: Standard deviation of the perturbation of the log power gains in training; 0 for none.
        layer: Name of the convolution; the first spatial one by default.
        seed: Seed of the perturbation, needed to be equal on all ranks of distributed training; None draws one from
            torch's generator.

    Raises:
        ValueError: If sigma is negative or not finite; when added to a Learner, if the layer is neither a plain
            convolution nor a `SpectralConv2d`, or has a `SpectralModulation` already.
    """

    _gain: object = None

    def __init__(
        self, per_filter: bool = True, sigma: float = 0.5, layer: str | None = None, seed: int | None = None
    ) -> None:
        check_not_negative(sigma=sigma)
        self.per_filter, self.sigma, self.layer, self.seed = per_filter, sigma, layer, seed
        self._draws_before: int | None = None

    def _install(self, learn: Learner) -> None:
        conv = self._claim(learn)
        if isinstance(conv, SpectralConv2d):  # the model of another Learner, or of a loaded one: go on with its gains
            conv.sigma = float(self.sigma)
        else:
            apply_modulation(learn.model, self.layer, self.per_filter, self.sigma, self.seed)
        self._gain = conv.log_gain
        if opt := _optimizer(learn):
            # A group of its own would break the schedules that were made for the existing groups. Saved states go by
            # position, so the gains come after the layer's other parameters, as in an optimizer made from now on.
            for group in opt.param_lists:
                if (at := _position(group, conv.weight)) is not None and _position(group, conv.log_gain) is None:
                    bias_at = _position(group, conv.bias)
                    group.insert(max(at, -1 if bias_at is None else bias_at) + 1, conv.log_gain)
                    opt.state.setdefault(conv.log_gain, {})  # a plain dict once fastai has loaded a state
            _forget_slow_weights(opt)

    def _uninstall(self, learn: Learner) -> None:
        _, conv = find_conv(learn.model, self.layer)
        gain = conv.log_gain if isinstance(conv, SpectralConv2d) else self._gain  # which another Learner folded already
        if opt := _optimizer(learn):
            for group in opt.param_lists:
                if (at := _position(group, gain)) is not None:
                    del group[at]
            _forget_slow_weights(opt)
            for state in (opt.state, getattr(opt, "opt", opt).state):  # OptimWrapper's own and torch's
                state.pop(gain, None)
        self._gain = None
        bake_modulation(conv)

    def before_fit(self) -> None:
        """Remember how much noise was drawn before a learning-rate finder's throw-away steps.

        Raises:
            ValueError: If the layer is plain again, as another Learner leaves it that had the model too.
        """
        conv = self.conv
        if not isinstance(conv, SpectralConv2d):
            raise ValueError(
                "the layer has no modulation any more: another Learner of this model, or bake_modulation, folded it "
                "into the weights; remove this SpectralModulation and add a new one to begin another"
            )
        self._draws_before = conv.draws if self.is_finding_lr else None

    def after_fit(self) -> None:
        """Take a learning-rate finder's draws back."""
        if self._draws_before is not None:
            cast(SpectralConv2d, self.conv).draws = self._draws_before
            self._draws_before = None


def _optimizer(learn: Learner) -> Optimizer | OptimWrapper | None:
    """The optimizer that fits use, where it exists: one that was built by hand does before the first fit."""
    built = learn.opt_func if isinstance(learn.opt_func, OptimWrapper) else None
    return learn.opt or built


def _forget_slow_weights(opt: Optimizer | OptimWrapper) -> None:
    """Have fastai's `Lookahead` (``ranger``) copy its slow weights anew: it finds them by their position."""
    if hasattr(opt, "slow_weights"):
        opt.slow_weights = None


def _position(group: list, parameter: object) -> int | None:
    """Where a parameter group holds a parameter, by identity."""
    return next((i for i, p in enumerate(group) if p is parameter), None)
