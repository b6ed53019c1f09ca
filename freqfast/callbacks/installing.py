"""Callbacks that change a layer when they are added to a Learner."""

from fastai.callback.core import Callback
from fastai.learner import Learner

__all__ = ["InstallingCallback"]


class InstallingCallback(Callback):
    """Changes the model when it is added to a Learner, in whatever way, and may change it back when removed.

    What runs in all ways of adding (the constructor, `add_cb`, `fit(cbs=...)`) is the assignment of `learn`, which
    comes before an optimizer exists; `after_create` does not fire in the last two.
    """

    @property
    def learn(self) -> Learner:
        """The Learner, None while on none; setting it installs, setting None or another one uninstalls."""
        return self.__dict__.get("_learn")

    @learn.setter
    def learn(self, learn: Learner | None) -> None:
        if (old := self.learn) is not None and old is not learn:
            self._uninstall(old)
        if learn is not None and learn is not old:
            try:
                self._install(learn)
            except Exception:
                if old is not None:  # on which it stays
                    self._install(old)
                raise
        self.__dict__["_learn"] = learn

    def _install(self, learn: Learner) -> None:
        raise NotImplementedError

    def _uninstall(self, learn: Learner) -> None:
        """Leave what the trained network needs, by default all."""
