"""Learn a spectral modulation of the first convolution during fit."""

from collections.abc import Mapping
from typing import Any

from fastai.learner import Learner
from fastai.optimizer import Optimizer, OptimWrapper
from torch import distributed, nn

from freqfast.callbacks.installing import LayerCallback
from freqfast.spectral.modulation import SpectralConv2d, apply_modulation, bake_modulation
from freqfast.spectral.surgery import find_conv, insert_parameter, remove_parameter
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
        seed: Seed of the perturbation; None draws one from torch's generator. All ranks of distributed training draw
            the noise of the first.
        keep_power: Perturb so that the power of each frequency stays the same in the mean, see `SpectralConv2d`. Off by
            default, so that recipes and runs of before mean what they meant.

    Raises:
        ValueError: If sigma is negative or not finite; when added to a Learner, if the layer is neither a plain
            convolution nor a `SpectralConv2d`, or has a `SpectralModulation` already.

    Examples:
        >>> modulation = SpectralModulation(sigma=0.3, seed=0)  # for Learner(..., cbs=modulation)
        >>> modulation.sigma
        0.3
    """

    _gain: object = None

    def __init__(
        self,
        per_filter: bool = True,
        sigma: float = 0.5,
        layer: str | None = None,
        seed: int | None = None,
        keep_power: bool = False,
    ) -> None:
        check_not_negative(sigma=sigma)
        self.per_filter, self.sigma, self.layer, self.seed, self.keep_power = per_filter, sigma, layer, seed, keep_power
        self._draws_before: int | None = None

    def _install(self, learn: Learner) -> None:
        conv = self._claim(learn)
        if isinstance(conv, SpectralConv2d):  # the model of another Learner, or of a loaded one: go on with its gains
            conv.sigma, conv.keep_power = float(self.sigma), bool(self.keep_power)
        else:
            apply_modulation(learn.model, self.layer, self.per_filter, self.sigma, self.seed, self.keep_power)
        self._gain = conv.log_gain
        if opt := _optimizer(learn):
            if insert_parameter(opt.param_lists, conv, conv.log_gain):
                opt.state.setdefault(conv.log_gain, {})  # a plain dict once fastai has loaded a state
            _forget_slow_weights(opt)

    def _uninstall(self, learn: Learner) -> None:
        _, conv = find_conv(learn.model, self.layer)
        gain = conv.log_gain if isinstance(conv, SpectralConv2d) else self._gain  # another Learner has folded it
        if opt := _optimizer(learn):
            remove_parameter(opt.param_lists, gain)
            _forget_slow_weights(opt)
            for state in (opt.state, getattr(opt, "opt", opt).state):  # OptimWrapper's own and torch's
                state.pop(gain, None)
        self._gain = None
        bake_modulation(conv)

    def _modulated(self) -> SpectralConv2d:
        """The layer, which must be modulated still.

        Raises:
            ValueError: If it is plain: another Learner had the model too and folded the gains into the weights.
        """
        conv = self.conv
        if not isinstance(conv, SpectralConv2d):
            raise ValueError(
                "the layer has no modulation any more: another Learner of this model, or bake_modulation, folded it "
                "into the weights; remove this SpectralModulation and add a new one to begin another"
            )
        return conv

    def before_train(self) -> None:
        """Under DistributedDataParallel, draw the noise of the first rank on all, whose weights these train as well."""
        if isinstance(self.learn.model, nn.parallel.DistributedDataParallel):
            conv, shared = self._modulated(), [self.state_dict()]
            distributed.broadcast_object_list(shared, device=conv.weight.device)
            self.load_state_dict(shared[0])

    def before_fit(self) -> None:
        """Remember how much noise was drawn before a learning-rate finder's throw-away steps."""
        conv = self._modulated()
        self._draws_before = conv.draws if self.is_finding_lr else None

    def after_fit(self) -> None:
        """Take a learning-rate finder's draws back."""
        if self._draws_before is not None:
            self._modulated().draws = self._draws_before
            self._draws_before = None

    def state_dict(self) -> dict[str, Any]:
        """What the layer's noise depends on: its seed and the number of draws so far."""
        conv = self._modulated()
        return {"seed": conv.seed, "draws": conv.draws}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the noise of `state_dict`."""
        conv = self._modulated()
        conv.seed, conv.draws = state["seed"], state["draws"]


def _optimizer(learn: Learner) -> Optimizer | OptimWrapper | None:
    """The optimizer that fits use, where it exists: one that was built by hand does before the first fit."""
    built = learn.opt_func if isinstance(learn.opt_func, OptimWrapper) else None
    return learn.opt or built


def _forget_slow_weights(opt: Optimizer | OptimWrapper) -> None:
    """Have fastai's `Lookahead` (``ranger``) copy its slow weights anew: it finds them by their position."""
    if hasattr(opt, "slow_weights"):
        opt.slow_weights = None
