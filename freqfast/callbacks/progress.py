"""Report a fit's progress to a function."""

from fastai.callback.core import Callback
from fastai.learner import Recorder

from freqfast.progress import Progress

__all__ = ["FitProgress"]


class FitProgress(Callback):
    """Calls ``progress(done, total, message)`` after every training batch, with steps of the whole fit.

    Args:
        progress: The function; its message tells the epoch and the smoothed loss.

    Examples:
        >>> FitProgress(lambda done, total, message: print(f"{done}/{total} {message}"))
        FitProgress
    """

    run_valid = False
    order = Recorder.order + 10  # after Recorder, which smooths the loss

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def after_batch(self) -> None:
        """Report one step."""
        learn = self.learn
        done = learn.epoch * learn.n_iter + learn.iter + 1
        loss = f", loss {float(learn.smooth_loss):.3f}" if hasattr(learn, "smooth_loss") else ""
        self.progress(done, learn.n_epoch * learn.n_iter, f"epoch {learn.epoch + 1}/{learn.n_epoch}{loss}")
