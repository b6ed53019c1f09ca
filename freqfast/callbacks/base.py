"""The base of freqfast's callbacks: they install themselves in the Learner that they are added to."""

from typing import Any

from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn

from freqfast.spectral.surgery import find_conv


class FitCallback(Callback):
    """Installs itself when it is added to a Learner, in any way, and works in the Learner that it was added to last.

    All ways of adding (the constructor, `add_cb`, `fit(cbs=...)`) assign `learn`, before an optimizer exists; the event
    `after_create` does not happen in the last two.
    """

    _learn: Learner | None = None

    @property
    def learn(self) -> Learner:
        """The Learner, or None. Setting one installs the callback there, and uninstalls it from an earlier one."""
        return self._learn

    @learn.setter
    def learn(self, learn: Learner | None) -> None:
        if learn is not None:
            if learn is self._learn:
                raise ValueError(f"the Learner has this {self} already")
            self._install(learn)  # if that fails, the callback stays where it is
        if self._learn is not None:
            self._uninstall(self._learn)
        self._learn = learn

    def __call__(self, event_name: str) -> object:
        """Handle an event of the Learner."""
        if event_name == "before_train" and not getattr(self.learn, "training", False):
            raise ValueError(f"this {self} was added to another Learner since, or removed there; make one for each")
        return None if self.learn is None else super().__call__(event_name)

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

    def _claim(self, learn: Learner) -> Any:
        """What the callback works on; a ValueError if another callback of its class does already."""
        found, kind = self._find(learn), type(self)
        if any(type(other) is kind and other._find(learn) is found for other in learn.cbs):
            raise ValueError(
                f"the Learner has such a {kind.__name__} already; call learn.remove_cb({kind.__name__}) before adding "
                "another"
            )
        return found


class LayerCallback(FitCallback):
    """Works on one convolution: the one that `layer` names, the first spatial one by default."""

    layer: str | None = None
    uses_weight = True

    @property
    def conv(self) -> nn.Conv2d:
        """The convolution."""
        return self._find(self.learn)

    def _find(self, learn: Learner) -> nn.Conv2d:
        return find_conv(learn.model, self.layer, plain=self.uses_weight)[1]
