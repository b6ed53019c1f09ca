"""Training with one thread, and with threads that do not spin, over torch's default, on an idle and on a busy machine.

    python -m tests.bench.bench_threads [--recipe quickstart] [--busy 0 1] [--rounds 5] [--steps 12]

*default* is a thread a core, which spin for a while where they wait for one another; *passive* sets
``OMP_WAIT_POLICY=PASSIVE``, *one thread* ``OMP_NUM_THREADS=1``. Beside each run as many processes keep a core busy as
``--busy`` says. Each measurement is a process of its own, since OpenMP reads its environment once: an epoch of
``--steps`` batches of the recipe, timed from the end of its first step. Some minutes on two cores.
"""

import multiprocessing
import os
from dataclasses import replace
from functools import partial
from unittest import mock

from freqfast.compute.memory import keep_freed_memory
from freqfast.runs.registry import find_recipe
from tests.bench.common import (
    Arguments,
    freqfast_arm,
    in_a_process,
    interleave,
    median,
    photo_data,
    print_table,
    ratio,
)

ARMS = {"default": {}, "passive": {"OMP_WAIT_POLICY": "PASSIVE"}, "one thread": {"OMP_NUM_THREADS": "1"}}


def spin() -> None:
    while True:
        pass


def measure(name: str, steps: int) -> float:
    """Images per second in training."""
    keep_freed_memory()
    recipe = replace(find_recipe(name), epochs=1)
    return freqfast_arm(recipe, photo_data(recipe.batch_size * steps), "cpu")()


def images_per_second(environment: dict[str, str], busy: int, name: str, steps: int) -> float:
    """`measure` in a new process with that environment, beside programs that each use all the time of one core."""
    others = [multiprocessing.get_context("spawn").Process(target=spin, daemon=True) for _ in range(busy)]
    for process in others:
        process.start()
    try:
        with mock.patch.dict(os.environ, environment):
            return in_a_process(measure, name, steps)
    finally:
        for process in others:
            process.kill()
            process.join()


def main() -> None:
    parser = Arguments(__doc__, rounds=5, steps=12)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1], help="cores that other programs use")
    args = parser.read()
    for variable in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(variable, None)

    rows = []
    for busy in args.busy:
        arms = {
            name: partial(images_per_second, environment, busy, args.recipe, args.steps)
            for name, environment in ARMS.items()
        }
        found = interleave(arms, args.rounds)
        for name, values in found.items():
            rows.append((f"{name}, {busy} busy", median(values), ratio(values, found["default"])))
    note = "images/s with quartiles, ratios with 95 % intervals"
    print_table(args, ("", "images/s", "over default"), rows, note, recipe=args.recipe)


if __name__ == "__main__":
    main()
