"""Callbacks that change a layer when they are added to a Learner."""

from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn

from freqfast.spectral.surgery import find_conv


class InstallingCallback(Callback):
    """Changes the model when it is added to a Learner, in any way, and may change it back when removed.

    All ways of adding (the constructor, `add_cb`, `fit(cbs=...)`) assign `learn`, before an optimizer exists; the event
    `after_create` does not happen in the last two.
    """

    @property
    def learn(self) -> Learner:
        """The Learner, or None. Setting a Learner installs the callback; an earlier one is uninstalled first."""
        return self.__dict__.get("_learn")

    @learn.setter
    def learn(self, learn: Learner | None) -> None:
        if (old := self.learn) is not None and old is not learn:
            self._uninstall(old)
        if learn is not None and learn is not old:
            try:
                self._install(learn)
            except Exception:
                if old is not None:  # where it stays
                    self._install(old)
                raise
        self.__dict__["_learn"] = learn

    def __call__(self, event_name: str) -> object:
        """Handle an event, unless another Learner that had the callback too has removed it."""
        return None if self.learn is None else super().__call__(event_name)

    def _install(self, learn: Learner) -> None:
        raise NotImplementedError

    def _uninstall(self, learn: Learner) -> None:
        """Take back what the trained network does not need: by default nothing."""


class LayerCallback(InstallingCallback):
    """Works on one convolution: the one that `layer` names, the first spatial one by default."""

    layer: str | None = None
    uses_weight = True

    @property
    def conv(self) -> nn.Conv2d:
        """The convolution."""
        return self._find(self.learn)

    def _find(self, learn: Learner) -> nn.Conv2d:
        return find_conv(learn.model, self.layer, plain=self.uses_weight)[1]

    def _claim(self, learn: Learner) -> nn.Conv2d:
        """The convolution in a Learner; a ValueError if another callback of the class works on it already."""
        conv = self._find(learn)
        kind = type(self)
        for other in learn.cbs:
            if type(other) is kind and other is not self and other._find(learn) is conv:
                raise ValueError(
                    f"the Learner has a {kind.__name__} on this layer already; "
                    f"call learn.remove_cb({kind.__name__}) before adding another"
                )
        return conv
