"""The state of a training between two steps: read from a Learner, and restored into one that was built the same way."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler
from fastai.learner import Learner, Recorder
from fastcore.foundation import L

from freqfast.spectral.surgery import unwrap

_COUNTERS = ("train_iter", "pct_train")  # of the Learner


def training_state(learn: Learner) -> dict[str, Any]:
    """Everything that the next step of a Learner in a fit depends on, for `freqfast.training.checkpoint.pack`.

    It holds weights and buffers, the optimizer, the Learner's counters, the callbacks (see
    `freqfast.training.checkpoint`), and the generators of Python, NumPy, torch and the loaders. Reading it draws no
    random numbers.
    """
    return {
        "model": dict(unwrap(learn.model).state_dict()),
        "optimizer": learn.opt.state_dict(),
        **changing_state(learn),
    }


def changing_state(learn: Learner) -> dict[str, Any]:
    """The part of `training_state` that may change without a step: all but weights, buffers and the optimizer."""
    return {
        "learner": {name: getattr(learn, name) for name in _COUNTERS},
        "callbacks": {key: _state_of(cb) for key, cb in _callbacks_with_state(learn)},
        "random": _random_state(learn),
    }


def restore_training(learn: Learner, state: Mapping[str, Any]) -> None:
    """Put a Learner that was built in the same way, and is in a fit, into a state from `training_state`."""
    try:
        unwrap(learn.model).load_state_dict(state["model"])  # copies: layouts in memory stay as the model was built
        learn.opt.load_state_dict(state["optimizer"])
        for name in _COUNTERS:
            setattr(learn, name, state["learner"][name])
        callbacks = dict(_callbacks_with_state(learn))
        if callbacks.keys() != state["callbacks"].keys():
            raise ValueError(f"it is of the callbacks {', '.join(state['callbacks'])}; here are {', '.join(callbacks)}")
        for key, cb in callbacks.items():
            _restore(cb, state["callbacks"][key])
        _restore_random(learn, state["random"])
    except Exception as error:  # other packages' callbacks may raise anything
        raise ValueError(
            f"the checkpoint does not fit this training: {' '.join(str(error).split())}; go on with the packages of "
            "its start, or remove the run's checkpoints to begin again"
        ) from error


def _callbacks_with_state(learn: Learner) -> Iterator[tuple[str, Callback]]:
    """Callbacks with a state, by the name of their class and, if there are several, a number."""
    seen: dict[str, int] = {}
    for cb in learn.cbs:
        if _has_methods(cb) or isinstance(cb, (Recorder, ParamScheduler)):
            kind = type(cb).__name__
            seen[kind] = number = seen.get(kind, 0) + 1
            yield kind + (f"#{number}" if number > 1 else ""), cb


def _has_methods(cb: Callback) -> bool:
    # Asked of the class, since an instance passes on what it does not have to the Learner, and that to the model.
    return hasattr(type(cb), "state_dict") and hasattr(type(cb), "load_state_dict")


def _state_of(cb: Callback) -> Any:
    if _has_methods(cb):
        return cb.state_dict()
    if isinstance(cb, ParamScheduler):
        return cb.hps
    return {
        "lrs": cb.lrs,
        "losses": torch.stack(cb.losses) if cb.losses else None,
        "iters": cb.iters,
        "values": [list(row) for row in cb.values],
        "smooth": [cb.smooth_loss.count, cb.smooth_loss.val],
        "epoch_seconds": time.time() - getattr(cb, "start_epoch", time.time()),
    }


def _restore(cb: Callback, state: Any) -> None:
    if _has_methods(cb):
        cb.load_state_dict(state)
        return
    if isinstance(cb, ParamScheduler):
        cb.hps = state
        return
    cb.lrs, cb.iters, cb.values = state["lrs"], state["iters"], [L(*row) for row in state["values"]]
    cb.losses = [] if state["losses"] is None else list(state["losses"].unbind())
    cb.smooth_loss.count, cb.smooth_loss.val = state["smooth"]  # on the CPU, wherever the model is
    if cb.smooth_loss.count:
        cb.learn.smooth_loss = cb.smooth_loss.value
    cb.start_epoch = time.time() - state["epoch_seconds"]


@contextmanager
def generators_kept() -> Iterator[None]:
    """Restore Python's, NumPy's and torch's generators after a `with` block, whatever is seeded or drawn in it."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (fastai's and others' code draws from it)
    on_gpu = torch.cuda.is_initialized()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if on_gpu else ()):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if not on_gpu:  # until a GPU is used, all that there is of its generator is the seed, which is the CPU's
            torch.cuda.manual_seed_all(torch.initial_seed())


def _random_state(learn: Learner) -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 (fastai's and others' code draws from the global one)
        "torch": torch.get_rng_state(),
        "device": device_generator(learn),
        "loaders": [loader.rng.getstate() for loader in learn.dls.loaders],
    }


def _restore_random(learn: Learner, state: Mapping[str, Any]) -> None:
    set_generator(random, state["python"])
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    set_device_generator(learn, state["device"])
    for loader, saved in zip(learn.dls.loaders, state["loaders"], strict=True):
        set_generator(loader.rng, saved)


def device_generator(learn: Learner) -> tuple[str, torch.Tensor | None]:
    """The kind of device that batches live on, and the state of its generator if it has one of its own."""
    device = torch.device(learn.dls.device or "cpu")
    if device.type == "cuda":
        return device.type, torch.cuda.get_rng_state(device)
    return device.type, torch.mps.get_rng_state() if device.type == "mps" else None


def set_device_generator(learn: Learner, saved: list) -> None:
    """Restore what `device_generator` gave; does nothing on another kind of device, which draws other numbers."""
    device, (kind, state) = torch.device(learn.dls.device or "cpu"), saved
    if kind != device.type or state is None:
        return
    if kind == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.mps.set_rng_state(state)


def set_generator(generator: Any, saved: list) -> None:
    """Set a `random.Random`, or the module itself, to a state that went through JSON."""
    version, words, gauss = saved
    generator.setstate((version, tuple(words), gauss))
