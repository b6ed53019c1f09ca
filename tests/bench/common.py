"""Shared by the benchmarks: arguments, data of CIFAR-10's shape, clocks, interleaved rounds, and one table.

Each is run from the root, such as ``python -m tests.bench.bench_step``.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from freqfast.compute.precision import resolve_precision
from freqfast.data import ImageData, Images, load_data
from freqfast.runs.recipe import Recipe
from freqfast.training import build_learner, fit_recipe
from freqfast.training.environment import processor_name

HELP = {
    "rounds": "measurements of each arm",
    "steps": "of a measurement; the first is not measured",
    "width": "filters of the first layer",
    "widths": "filters of the first layer",
    "batch_size": "images of a batch",
}


class Arguments(argparse.ArgumentParser):
    """Options of a benchmark, which its docstring describes, with the numbers that it has by default."""

    def __init__(
        self,
        description: str | None,
        least_steps: int = 5,  # torch's one-cycle schedule divides by zero where its rise is one step
        device: bool = False,
        **numbers: int | list[int],
    ) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.least_steps = least_steps
        self.add_argument("--cpu-time", action="store_true", help="in place of the clock's, where others compute too")
        for name, value in numbers.items():
            nargs = "*" if isinstance(value, list) else None
            option = f"--{name.replace('_', '-')}"
            self.add_argument(option, type=int, nargs=nargs, default=value, help=f"{HELP[name]}; default: {value}")
        if device:
            self.add_argument("--device", default="cpu")
            self.add_argument("--precision", default="auto")

    def read(self) -> argparse.Namespace:
        """The options given."""
        global _seconds
        args = self.parse_args()
        if args.cpu_time:
            _seconds = time.process_time
        if args.rounds < 1 or getattr(args, "steps", self.least_steps) < self.least_steps:
            self.error(f"at least 1 round of {self.least_steps} steps")
        return args


def photo_data(train: int, test: int = 8) -> ImageData:
    """CIFAR-10-shaped data of any size, without a download: the bundled 32x32 photo patches, repeated."""
    data = load_data("photos")

    def tiled(part: Images, count: int) -> Images:
        return Images(np.resize(part.pixels, (count, 32, 32, 3)), np.resize(part.labels, count))

    return ImageData("photos", data.classes, tiled(data.train, train), tiled(data.test, test))


_seconds = time.perf_counter


def now(device: str) -> float:
    """Seconds on the clock, once the device has done what was asked of it."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)
    return _seconds()


class StepClock(Callback):
    """Notes when each training step of the latest fit ended.

    The first end is where the measurement starts: what happens once a fit, and the first batch, is not in it.
    """

    run_valid = False
    order = 10_000  # after everything else that a step consists of

    def __init__(self, device: str) -> None:
        self.device = device
        self.ends: list[float] = []

    def before_fit(self) -> None:
        self.ends = []

    def after_batch(self) -> None:
        self.ends.append(now(self.device))

    def median_step(self) -> float:
        """Median seconds of a step."""
        return float(np.median(np.diff(self.ends)))

    def steps_per_second(self) -> float:
        """Steps over the time of them all: batches that workers prepare come in bursts, which a median would hide."""
        return (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])


def freqfast_arm(recipe: Recipe, data: ImageData, device: str) -> Callable[[], float]:
    """Images per second of the recipe's Learner."""
    return training_arm(build_learner(recipe, data, device), recipe, device)


def training_arm(learn: Learner, recipe: Recipe, device: str) -> Callable[[], float]:
    """Images per second of a Learner; each call trains for the recipe's epochs."""
    clock = StepClock(device)
    learn.add_cb(clock)

    def images_per_second() -> float:
        with learn.no_bar(), learn.no_logging():
            fit_recipe(learn, recipe)
        return recipe.batch_size * clock.steps_per_second()

    return images_per_second


def in_a_process(function: Callable[..., Any], *words: Any) -> Any:
    """What a function gives in a process of its own, with a memory and an environment of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, words)


def peak_mib() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def interleave(arms: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Measure each arm once a round, after a round to warm up; every round starts with the next arm.

    A machine's drift then meets all arms alike, and cancels in the ratios of one round.

    Returns:
        Measurements ``(rounds,)`` by arm, or ``(rounds, ...)`` of arms that measure several things.
    """
    names = list(arms)
    found: dict[str, list[Any]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        print(f"round {turn} of {rounds}" if turn else "warming up", file=sys.stderr, flush=True)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            value = arms[name]()
            if turn:
                found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def ratio(values: np.ndarray, baseline: np.ndarray, digits: int = 3) -> str:
    """Median over the rounds of the ratio, with a bootstrap interval, nominally of 95 %: of few rounds, their range."""
    ratios = values / baseline
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return f"{np.median(ratios):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def median(values: np.ndarray, digits: int = 0) -> str:
    """Median over the rounds, with the quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def print_table(
    args: argparse.Namespace, header: Sequence[str], rows: Iterable[Sequence[str]], note: str = "", **setting: object
) -> None:
    """Print what was measured on what, by the arguments and further settings, a note, and aligned columns."""
    device = getattr(args, "device", "cpu")
    if torch.device(device).type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{processor_name()}, {torch.get_num_threads()} threads"
    precision = resolve_precision(getattr(args, "precision", "auto"), device)
    setting = {name: value for name, value in vars(args).items() if type(value) is int} | setting
    print(f"{hardware}, torch {torch.__version__}, {precision}")
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in setting.items()))
    if note:
        print(note)
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        first, *rest = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
        print("  ".join([first, *rest]).rstrip())
