"""A fit that can stop between any two steps and be resumed exactly in another process."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from fastai.callback.core import Callback, CancelEpochException, CancelFitException, TrainEvalCallback
from fastai.learner import Learner

from freqfast.compute.ranks import ALONE, Ranks
from freqfast.files import write_text
from freqfast.models.network import Network
from freqfast.progress import RunStoppedError, Stop
from freqfast.records import differences
from freqfast.runs.directory import RunDirectory
from freqfast.spectral.surgery import unwrap
from freqfast.training.checkpoint import (
    CheckpointFolder,
    CheckpointHeader,
    CheckpointPolicy,
    Origin,
    pack,
    unpack,
)
from freqfast.training.state import changing_state, restore_training, set_generator, training_state


class ResumableLearner(Learner):
    """A Learner whose loops over epochs and batches are run by a `FitKeeper`.

    fastai's own ways to begin in the middle (`fit(start_epoch=)`, `SkipToEpoch`) fire the skipped epochs' events and do
    not advance the generators. Here the loop begins at the epoch and the batch where it stopped: `before_fit` has run,
    so that everything is set up, and then the state of the checkpoint replaces the present one. Without a keeper this
    is fastai's Learner.
    """

    keeper: "FitKeeper | None" = None
    network: Network
    """What is trained, with its preprocessing; its module is the Learner's model, which a launcher may wrap."""

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
    """Begins a fit at its last checkpoint, saves it as it goes, and writes its table of metrics.

    Args:
        directory: The run directory.
        origin: The origin that a checkpoint in it must have.
        policy: When to save.
        stop: Asked after each batch and epoch for the number of a signal that wants the run to stop; None if none does.
        check: Called before the first step, when all callbacks have prepared the model; may raise.
        ranks: The processes that train together. The first one reads, writes and decides when to save; a signal to any
            of them stops all.

    Attributes:
        folder: The checkpoints.
        position: Number of finished epochs, and of finished batches of the next epoch.
        saved: The last position that was saved or loaded; None before the first.
        seconds: Time that the fit has taken, over all processes that worked on it.
    """

    def __init__(
        self,
        directory: RunDirectory,
        origin: Origin,
        policy: CheckpointPolicy,
        stop: Stop,
        check: Callable[[], None],
        ranks: Ranks,
    ) -> None:
        self.folder = CheckpointFolder(directory.checkpoints)
        self.position = (0, 0)
        self.saved: tuple[int, int] | None = None
        self.seconds = 0.0
        self._metrics, self._origin, self._policy = directory.metrics, origin, policy
        self._stop, self._check, self._ranks = stop, check, ranks
        self._rows: list[str] = []  # of the table of metrics
        self._state: Mapping[str, Any] | None = None  # to go on from
        self._order: Any = None  # of the loader's generator when the epoch began
        self._trained: dict[str, Any] = {}  # what validation may change, as the epoch's steps left it
        self._cost = 0.0  # seconds that the last save took
        self._saved_at = self._since = time.monotonic()  # never the wall clock, which may jump
        if (found := ranks.first(self.folder.load)) is not None:
            self._begin_at(*found)

    def _begin_at(self, header: CheckpointHeader, state: Mapping[str, Any]) -> None:
        for name, then, now in differences(header.origin, self._origin):
            raise ValueError(
                f"the checkpoints in {self.folder.path} are of another run ({name} {then}, here {now}); put this "
                "run's own back, or remove that folder to begin this run again from its first epoch"
            )
        self.position = self.saved = (header.epoch, header.batch)
        self.seconds, self._rows, self._state = header.seconds, list(header.metrics), state
        if "ranks" in state:
            self._state = state | state["ranks"][self._ranks.rank]

    def epochs(self, learn: Learner) -> Iterator[int]:
        """Yield the remaining epochs; continues after each one when all its callbacks have run."""
        self._check()
        self._since = self._saved_at = time.monotonic()
        if self._state is not None:
            restore_training(learn, self._state)
        self._write_metrics(learn)
        for epoch in range(self.position[0], learn.n_epoch):
            yield epoch
            self.position = (epoch + 1, 0)
            self._rows.append(",".join(map(str, learn.recorder.log)))
            self._write_metrics(learn)
            is_last = epoch + 1 == learn.n_epoch
            if is_last or self._is_due((epoch + 1) % self._policy.epochs == 0):
                self._save(learn)
            self._stop_if_asked(learn)
        self._count_seconds()

    def batches(self, learn: Learner) -> Iterator[tuple[int, Any]]:
        """Yield the epoch's remaining batches; continues after each one when all its callbacks have run."""
        epoch, done = self.position
        state, self._state = self._state if done else None, None  # `epochs` has restored one between two epochs
        if state is not None:
            set_generator(learn.dl.rng, state["order"])
        self._order = learn.dl.rng.getstate()
        batches = enumerate(learn.dl, max(done - 1, 0))
        if state is not None:
            # The epoch's order is drawn again, and with it the last batch that was seen. Whatever that drew, and
            # whatever the epoch's first handlers did, is undone by restoring the rest afterwards.
            learn.dl.first = done - 1
            next(batches)
            learn.dl.first = 0  # for whoever draws batches later
            restore_training(learn, state)
        for i, batch in batches:
            yield i, batch
            self.position = (epoch, i + 1)
            if self._is_due(self._elapsed() >= 60 * self._policy.minutes):
                self._save(learn)
            self._stop_if_asked(learn)
        # Whatever validation changes is changed again when the run goes on, so it must start from here.
        self._trained = _copied(changing_state(learn))

    def validation_batches(self, learn: Learner) -> Iterator[tuple[int, Any]]:
        """Yield the validation's batches; a run that is stopped here is resumed at the end of the epoch's steps."""
        for i, batch in enumerate(learn.dl):
            yield i, batch
            self._stop_if_asked(learn, self._trained)

    def place(self) -> str:
        """The position in words."""
        epoch, batch = self.position
        return f"in epoch {epoch + 1}, after batch {batch}" if batch else f"after {epoch} epochs"

    def _is_due(self, is_wanted: bool) -> bool:
        """Whether to save, if that is wanted and does not take too much of the time; the first rank's clock decides."""
        affordable = self._elapsed() * self._policy.share >= self._cost * (1 - self._policy.share)
        return bool(self._ranks.largest(is_wanted and affordable and self._ranks.is_first))

    def _elapsed(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self._saved_at

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now

    def _save(self, learn: Learner, earlier: Mapping[str, Any] | None = None) -> None:
        _check_finite(learn)
        start = time.monotonic()
        self._count_seconds()
        epoch, batch = self.position
        header = CheckpointHeader(
            origin=self._origin, epoch=epoch, batch=batch, seconds=self.seconds, metrics=tuple(self._rows)
        )
        state = training_state(learn) | {"order": self._order, **(earlier or {})}
        if self._ranks.count > 1:
            own = {name: part for name, part in state.items() if name not in ("model", "optimizer")}
            state["ranks"] = self._ranks.gather(_copied(own))
        self._ranks.first(lambda: self.folder.save(header, state))
        self.saved = self.position
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - start

    def _stop_if_asked(self, learn: Learner, earlier: Mapping[str, Any] | None = None) -> None:
        if signum := self._ranks.largest(self._stop() or 0):
            if self.saved != self.position:
                self._save(learn, earlier)
            raise RunStoppedError(f"interrupted {self.place()}", signum)

    def _write_metrics(self, learn: Learner) -> None:
        if self._ranks.is_first:
            write_text(self._metrics, "\n".join([",".join(learn.recorder.metric_names), *self._rows]) + "\n")


class DivergenceWatch(Callback):
    """Ends a fit at the first loss that is not finite, on any rank, before it can reach the weights.

    Attributes:
        found: In words, where the loss was not finite; None if it has been finite so far.
    """

    order = TrainEvalCallback.order  # before whatever acts on the loss

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self.ranks = ranks
        self.found: str | None = None

    def after_loss(self) -> None:
        """Look at the loss of a training or validation batch."""
        if self.ranks.largest(not self.learn.loss.isfinite().all()):
            loss = "its loss" if self.learn.training else "the loss in validation"
            step = self.learn.train_iter + self.learn.training
            self.found = f"in epoch {self.learn.epoch + 1}, step {step}: {loss} is not finite"
            raise CancelFitException


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    tensors: dict[str, torch.Tensor] = {}
    return unpack(pack(state, tensors), tensors)


def _check_finite(learn: Learner) -> None:
    """Raise a FloatingPointError if a weight or a buffer is not finite: no checkpoint may hold that."""
    for name, tensor in unwrap(learn.model).state_dict().items():
        if not tensor.isfinite().all():
            raise FloatingPointError(f"in epoch {learn.epoch + 1}, step {learn.train_iter}: {name} is not finite")
