"""The base of callbacks that work in a fit."""

from fastai.callback.core import Callback


class FitCallback(Callback):
    """Works for the Learner that it was added to last, and refuses the fit of another one that has it.

    Both Learners call it, and in a fit of the earlier one it would change the other Learner, or nothing. Once one of
    them has removed it, it has no Learner. A Learner to which it was added twice would call it twice.
    """

    def __call__(self, event_name: str) -> object:
        """Handle an event of the Learner."""
        if event_name == "before_fit" and self.learn is not None:
            self.learn.dl = None  # which validations, and fits that raise, leave there
        if event_name == "before_train" and getattr(self.learn, "dl", None) is None:  # as it is outside of a fit
            if self.learn is None:
                raise ValueError(
                    f"this {self} was removed from a Learner, and works nowhere; remove it here, and add it again"
                )
            raise ValueError(f"this {self} was added to another Learner since, and works there; make one for each")
        if event_name == "before_train" and sum(cb is self for cb in self.learn.cbs) > 1:
            raise ValueError(f"the Learner has this {self} twice; remove it, and add it once")
        return None if self.learn is None else super().__call__(event_name)

    @property
    def is_finding_lr(self) -> bool:
        """Whether the fit is a learning-rate finder's, whose steps are thrown away."""
        return hasattr(self.learn, "lr_finder")
