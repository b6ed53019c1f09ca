"""The base of freqfast's callbacks: they install themselves in the Learner that they are added to."""

import inspect

from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn

from freqfast.methods.base import Part


class FitCallback(Callback, Part):
    """Installs itself when it is added to a Learner, in any way, and works in the Learner that it was added to last.

    All ways of adding (the constructor, `add_cb`, `fit(cbs=...)`) assign `learn`, before an optimizer exists; the event
    `after_create` does not happen in the last two. Where a subclass has a `state_dict`, a learning-rate finder's
    throw-away steps do not change it.
    """

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
            self._install_in(learn)  # if that fails, the callback stays where it is
        if old is not None:
            self._uninstall(old.model)
        self._learn = learn

    @property
    def network(self) -> nn.Module:  # type: ignore[override]
        """The Learner's model."""
        return self.learn.model

    def __call__(self, event_name: str) -> object:
        """Handle an event of the Learner; a ValueError if it would train with another, or with two that do the same."""
        if event_name == "before_train":
            if not getattr(self.learn, "training", False):
                raise ValueError(f"this {self} was removed, or added to another Learner since; make one for each")
            if sum(cb is self or self._repeats(cb, self.network) for cb in self.learn.cbs) > 1:
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

    def _install_in(self, learn: Learner) -> None:
        self._install(learn.model)


class MethodCallback(FitCallback):
    """Has the method that is a subclass's first base in a Learner, and takes over its description."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        method = cls.__bases__[0]
        if method.__module__.startswith("freqfast.methods."):
            cls.__doc__ = f"{cls.__doc__}\n\n{inspect.getdoc(method)}"

    def before_train(self) -> None:
        """Install what was removed, or another model of the Learner lacks; refuse what loading has changed."""
        self._install_in(self.learn)
        if self.learn.train_iter == 0:
            self.start()  # type: ignore[attr-defined]  # of the method
