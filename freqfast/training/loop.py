"""A fit that can stop between any two steps and go on in another process, exactly."""

import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback, CancelEpochException, CancelFitException
from fastai.learner import Learner

from freqfast.files import write_text
from freqfast.progress import RunStoppedError, Stop
from freqfast.training.checkpoint import CheckpointFolder, CheckpointPolicy, pack, unpack
from freqfast.training.state import changing_state, restore_training, set_generator, training_state

__all__ = ["DivergenceWatch", "FitKeeper", "ResumableLearner"]


class ResumableLearner(Learner):
    """A Learner that shows a `FitKeeper` the moments between two steps and between two epochs.

    fastai's own ways to begin in the middle (`fit(start_epoch=)`, `SkipToEpoch`) fire the skipped epochs' events and
    do not advance the generators. Here the loop begins at the epoch and the batch where it stopped: `before_fit` has
    run, so that everything is in place, and then the state of the checkpoint replaces whatever there is. Without a
    keeper this is fastai's Learner.
    """

    keeper: "FitKeeper | None" = None

    def _do_fit(self) -> None:
        if self.keeper is None:
            super()._do_fit()
            return
        for epoch in self.keeper.epochs(self):
            self.epoch = epoch
            self._with_events(self._do_epoch, "epoch", CancelEpochException)

    def all_batches(self) -> None:
        """One pass over the batches; a training pass may begin in the middle."""
        if self.keeper is None:
            super().all_batches()
            return
        self.n_iter = len(self.dl)
        for i, batch in self.keeper.batches(self) if self.training else self.keeper.validation_batches(self):
            self.one_batch(i, batch)


class FitKeeper:
    """Saves a fit as it goes, begins it where it was saved, and writes its table of metrics.

    Args:
        folder: Where checkpoints are.
        policy: When to save.
        metrics: The CSV file of metrics: a header and a row for each epoch, rewritten whole.
        start: Settings from the start of the run, which a checkpoint must agree with.
        stop: Asked after each batch and epoch for the number of a signal that wants the run to stop; None if none does.

    Attributes:
        position: Epochs done and batches of the next one done.
        saved: The last position that was saved or loaded; None before there is one.
        seconds: Time that the fit has taken, over all processes that worked on it.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        policy: CheckpointPolicy,
        metrics: Path,
        start: Mapping[str, Any],
        stop: Stop = lambda: None,
    ) -> None:
        self.folder, self.policy, self.metrics, self.start, self.stop = folder, policy, metrics, dict(start), stop
        self.position = (0, 0)
        self.saved: tuple[int, int] | None = None
        self.seconds = 0.0
        self._state: dict[str, Any] | None = None
        self._rows: list[str] = []
        self._order: list[Any] = []
        self._trained: dict[str, Any] = {}
        self._cost = 0.0
        self._saved_at = self._since = time.monotonic()  # never the wall clock, which may jump

    def load(self) -> None:
        """Read the last sound checkpoint, if there is one, for the fit to begin there.

        Raises:
            ValueError: If there are checkpoints and all are damaged, or they are of a run with other settings.
        """
        state = self.folder.load()
        if state is None:
            return
        try:
            done, batches = map(int, state["position"])
            self.seconds, self._rows = float(state["seconds"]), [str(row) for row in state["metrics"]]
            set_generator(random.Random(), state["order"])  # noqa: S311 (only to see that it is one's state)
            then = {str(key): value for key, value in state["start"].items()}
            self._state = {**state, "training": dict(state["training"])}
            self.position = self.saved = (done, batches)
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"the last checkpoint in {self.folder.path} holds no training ({' '.join(str(error).split())}); "
                "remove that folder to begin this run again from its first epoch"
            ) from None
        for key, value in then.items():
            if self.start.get(key) != value:
                raise ValueError(
                    f"the checkpoints in {self.folder.path} are of a run with {key} {value}, but its environment.json "
                    f"says {self.start.get(key)}; put that file back, or start a new run"
                )

    def epochs(self, learn: Learner) -> Iterator[int]:
        """The epochs that are left; comes back after each, when all its callbacks are done."""
        self._since = self._saved_at = time.monotonic()
        if self._state is not None:
            restore_training(learn, self._state["training"])
        self._write_metrics(learn)
        for epoch in range(self.position[0], learn.n_epoch):
            yield epoch
            self._state = None
            self.position = (epoch + 1, 0)
            self._rows.append(",".join(map(str, learn.recorder.log)))
            self._write_metrics(learn)
            last = epoch + 1 == learn.n_epoch
            if last or ((epoch + 1) % self.policy.epochs == 0 and self._affordable()):
                self._save(learn)
            self._stop_if_asked(learn)
        self._tick()

    def batches(self, learn: Learner) -> Iterator[tuple[int, Any]]:
        """The epoch's batches that are left; comes back after each, when all its callbacks are done."""
        epoch, done = self.position
        state, self._state = self._state, None
        if done and state is not None:
            set_generator(learn.dl.rng, state["order"])
        self._order = learn.dl.rng.getstate()
        batches = enumerate(learn.dl)
        if done and state is not None:
            # The epoch's order, and with it what has been seen, comes from drawing its first batches again. Whatever
            # that drew, and whatever the epoch's first handlers did, is undone by restoring the rest afterwards.
            for _ in range(done):
                next(batches)
            restore_training(learn, state["training"])
        for i, batch in batches:
            yield i, batch
            self.position = (epoch, i + 1)
            if self._elapsed() >= 60 * self.policy.minutes and self._affordable():
                self._save(learn)
            self._stop_if_asked(learn)
        # Whatever validation changes is changed again when the run goes on, so it must start from here.
        self._trained = _copied(changing_state(learn))

    def validation_batches(self, learn: Learner) -> Iterator[tuple[int, Any]]:
        """The validation's batches; a run that is stopped among them goes on at the end of the epoch's steps."""
        for i, batch in enumerate(learn.dl):
            yield i, batch
            self._stop_if_asked(learn, self._trained)

    def _affordable(self) -> bool:
        return self._elapsed() * self.policy.share >= self._cost * (1 - self.policy.share)

    def _elapsed(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self._saved_at

    def _tick(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now

    def _save(self, learn: Learner, earlier: Mapping[str, Any] | None = None) -> None:
        _check_finite(learn)
        start = time.monotonic()
        self._tick()
        state = {
            "position": self.position,
            "seconds": self.seconds,
            "metrics": self._rows,
            "order": self._order,
            "start": self.start,
            "training": training_state(learn) | dict(earlier or {}),
        }
        self.folder.save(*self.position, state)
        self.saved = self.position
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - start

    def _stop_if_asked(self, learn: Learner, earlier: Mapping[str, Any] | None = None) -> None:
        signum = self.stop()
        if signum is not None:
            if self.saved != self.position:
                self._save(learn, earlier)
            raise RunStoppedError(f"interrupted {self.place()}", signum)

    def place(self) -> str:
        """The position in words."""
        epoch, batch = self.position
        return f"in epoch {epoch + 1}, after batch {batch}" if batch else f"after {epoch} epochs"

    def _write_metrics(self, learn: Learner) -> None:
        write_text(self.metrics, "\n".join([",".join(learn.recorder.metric_names), *self._rows]) + "\n")


class DivergenceWatch(Callback):
    """Ends a fit at the first loss that is not finite, before it can reach the weights.

    Attributes:
        found: Where and what; None while all is well.
    """

    order = -10  # before whatever acts on the loss

    def __init__(self) -> None:
        self.found: str | None = None

    def after_loss(self) -> None:
        """Look at the loss of a training or validation batch."""
        if not self.learn.loss.isfinite().all():
            loss = "its loss" if self.learn.training else "the loss in validation"
            step = self.learn.train_iter + self.learn.training
            self.found = f"in epoch {self.learn.epoch + 1}, step {step}: {loss} is not finite"
            raise CancelFitException


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    tensors: dict[str, torch.Tensor] = {}
    return unpack(pack(state, tensors), tensors)


def _check_finite(learn: Learner) -> None:
    """No checkpoint may hold what cannot be trained on.

    Raises:
        FloatingPointError: If a weight or a buffer is not finite.
    """
    for name, tensor in learn.model.state_dict().items():
        if not torch.as_tensor(tensor).isfinite().all():
            raise FloatingPointError(f"in epoch {learn.epoch + 1}, step {learn.train_iter}: {name} is not finite")
