"""The base of freqfast's callbacks: they install themselves in the Learner that they are added to."""

from typing import Any

from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn

from freqfast.spectral.surgery import find_conv


class FitCallback(Callback):
    """Installs itself when it is added to a Learner, in any way, and works in the Learner that it was added to last.

    All ways of adding (the constructor, `add_cb`, `fit(cbs=...)`) assign `learn`, before an optimizer exists; the event
    `after_create` does not happen in the last two. Where a subclass has a `state_dict`, a learning-rate finder's
    throw-away steps do not change it.
    """

    is_only = False  # whether no other callback of the class may work on the same model, or layer
    _learn: Learner | None = None

    @property
    def learn(self) -> Learner:
        """The Learner, or None. Setting one installs the callback there, and uninstalls it from an earlier one."""
        return self._learn

    @learn.setter
    def learn(self, learn: Learner | None) -> None:
        old = self._learn
        if learn is old:
            return
        if learn is not None:
            self._install(learn)  # if that fails, the callback stays where it is
        if old is not None:
            self._uninstall(old)
        self._learn = learn

    def __call__(self, event_name: str) -> object:
        """Handle an event of the Learner; a ValueError if it would train with another, or with two that do the same."""
        if event_name == "before_train":
            if not getattr(self.learn, "training", False):
                raise ValueError(f"this {self} was removed, or added to another Learner since; make one for each")
            if sum(cb is self or self._repeats(cb) for cb in self.learn.cbs) > 1:
                raise ValueError(f"the Learner has two {self}; call learn.remove_cb({self}), and add one again")
        if self.learn is None:
            return None
        is_undone = self.is_finding_lr and hasattr(type(self), "state_dict")
        if is_undone and event_name == "before_fit":
            self._state = self.state_dict()
        result = super().__call__(event_name)
        if is_undone and event_name == "after_fit":
            self.load_state_dict(self._state)
        return result

    @property
    def is_finding_lr(self) -> bool:
        """Whether the fit is a learning-rate finder's, whose steps are thrown away."""
        return hasattr(self.learn, "lr_finder")

    def _install(self, learn: Learner) -> None:
        """Change what training with the callback needs changed: by default nothing."""

    def _uninstall(self, learn: Learner) -> None:
        """Take back what the trained network does not need: by default nothing."""

    def _find(self, learn: Learner) -> Any:
        """What the callback works on in a Learner."""
        return learn.model

    def _repeats(self, other: Callback) -> bool:
        return self.is_only and type(other) is type(self) and other._find(self.learn) is self._find(self.learn)


class LayerCallback(FitCallback):
    """Works on one convolution, alone of its class: the one that `layer` names, the first spatial one by default."""

    is_only = True
    layer: str | None = None
    uses_weight = True

    @property
    def conv(self) -> Any:
        """The convolution."""
        return self._find(self.learn)

    def _find(self, learn: Learner) -> nn.Conv2d:
        return find_conv(learn.model, self.layer, plain=self.uses_weight)[1]
