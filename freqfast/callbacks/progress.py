"""Report a fit's progress to a function: every step, or a line an epoch."""

import time
from collections.abc import Callable, Container, Mapping
from datetime import timedelta
from typing import Any

from fastai.callback.core import Callback
from fastai.learner import Recorder

from freqfast.callbacks.columns import BandColumns
from freqfast.progress import Progress


class FitProgress(Callback):
    """Calls ``progress(done, total, message)`` after every training batch, counting the steps of the whole fit.

    Args:
        progress: The function; its message gives the epoch and the smoothed loss.

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


def epoch_line(epoch: int, epochs: int, values: Mapping[str, Any], bands: Container[str], seconds: float | None) -> str:
    """One line about an epoch, counted from 1: from fastai's metrics by column and the seconds that it took.

    Columns named in `bands` are shares of the filters. For an epoch that was seen only in part, pass None as seconds:
    the line then omits the time left.

    Examples:
        >>> row = {"epoch": 0, "train_loss": 0.7, "valid_loss": 0.9, "accuracy": 0.8, "low": 0.75, "time": "00:03"}
        >>> epoch_line(1, 3, row, ("low",), seconds=40)
        'epoch 1/3: loss 0.700, validation 0.900, accuracy 80.00 %, low 75 %, 0:01:20 left'
    """
    words = {"train_loss": "loss", "valid_loss": "validation"}
    parts = []
    for name, value in values.items():
        if value is None:  # of no images
            continue
        if name == "accuracy":
            parts.append(f"accuracy {100 * value:.2f} %")
        elif name in bands:
            parts.append(f"{name} {100 * value:.3g} %")
        elif isinstance(value, float):
            parts.append(f"{words.get(name, name)} {value:.3f}")
    if epoch < epochs and seconds is not None:
        parts.append(f"{timedelta(seconds=round(seconds * (epochs - epoch)))} left")
    return f"epoch {epoch}/{epochs}: {', '.join(parts)}"


class EpochLog(Callback):
    """Calls ``log(line)`` after every epoch of a fit: losses, accuracy, frequency proportion and the time left.

    The time left assumes that each remaining epoch takes as long as this one; a resumed fit gives it from its first
    whole epoch on.

    Args:
        log: The function, such as ``print``.

    Examples:
        >>> EpochLog(print)
        EpochLog
    """

    order = FitProgress.order + 10  # after the callbacks that add columns

    def __init__(self, log: Callable[[str], object]) -> None:
        self.log = log

    def before_epoch(self) -> None:
        """Note when the epoch begins."""
        self.began, self.is_whole = time.monotonic(), False

    def after_batch(self) -> None:
        """Note whether the epoch began with its first step; it does not if the fit was resumed within the epoch."""
        self.is_whole |= self.learn.training and self.learn.iter == 0

    def after_epoch(self) -> None:
        """Log the epoch's line."""
        learn = self.learn
        names, row = learn.recorder.metric_names, learn.recorder.log
        if len(row) < len(names):  # a learning-rate finder's, which validates nothing
            return
        bands = {name for cb in learn.cbs if isinstance(cb, BandColumns) for name in cb.bands.names}
        values = dict(zip(names, row, strict=False))
        seconds = time.monotonic() - self.began if self.is_whole else None
        self.log(epoch_line(learn.epoch + 1, learn.n_epoch, values, bands, seconds))
