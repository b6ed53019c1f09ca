"""Report a fit's progress to a function: every step, or a line an epoch."""

import time
from collections.abc import Callable
from datetime import timedelta

from fastai.callback.core import Callback
from fastai.learner import Recorder

from freqfast.callbacks.columns import BandColumns
from freqfast.progress import Progress


class FitProgress(Callback):
    """Calls ``progress(done, total, message)`` after every training batch, counting the steps of the whole fit.

    The message gives the epoch and the smoothed loss.

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
        message = f"epoch {learn.epoch + 1}/{learn.n_epoch}, loss {float(learn.smooth_loss):.3f}"
        self.progress(done, learn.n_epoch * learn.n_iter, message)


class EpochLog(Callback):
    """Calls ``log(line)`` after every epoch of a fit: losses, accuracy, frequency proportion and the time left.

    Such as ``epoch 1/3: train loss 0.700, test loss 0.900, test accuracy 80.00 %, low 75 %, 0:01:20 left``, where test
    stands for the images of the validation. The time left assumes that each remaining epoch takes as long as this one.

    Examples:
        >>> EpochLog(print)
        EpochLog
    """

    order = FitProgress.order + 10  # after the callbacks that add columns

    def __init__(self, log: Callable[[str], object]) -> None:
        self.log = log

    def after_epoch(self) -> None:
        """Log the epoch's line."""
        learn = self.learn
        recorder, epoch, epochs = learn.recorder, learn.epoch + 1, learn.n_epoch
        names, row = recorder.metric_names, recorder.log
        if len(row) < len(names):  # a learning-rate finder's, which validates nothing
            return
        bands = {name for cb in learn.cbs if isinstance(cb, BandColumns) for name in cb.bands.names}
        words, parts = {"train_loss": "train loss", "valid_loss": "test loss"}, []
        for name, value in zip(names, row, strict=False):
            if not isinstance(value, float):  # the epoch, the time, or a metric of no images
                continue
            if name == "accuracy":
                parts.append(f"test accuracy {100 * value:.2f} %")
            elif name in bands:
                parts.append(f"{name} {100 * value:.3g} %")
            else:
                parts.append(f"{words.get(name, name)} {value:.3f}")
        if epoch < epochs and recorder.add_time:
            left = (time.time() - recorder.start_epoch) * (epochs - epoch)
            parts.append(f"{timedelta(seconds=round(left))} left")
        self.log(f"epoch {epoch}/{epochs}: {', '.join(parts)}")
