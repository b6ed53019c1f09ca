"""Repeat a finished run and compare the two."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from freqfast.progress import Log, Progress, Stop
from freqfast.runs.environment import environment_differences
from freqfast.runs.run import Run, load_run
from freqfast.training.run import check_classes, run_recipe

ACCURACIES = ("clean", "corrupted", "mean15", "mean19")


@dataclass(frozen=True)
class Repetition:
    """A run and its repetition, and how they differ.

    Attributes:
        first: The run that was repeated.
        second: The run that repeats it.
        weights_equal: Whether all weights and buffers have the same bits.
        weights_distance: Largest absolute difference of a weight or buffer.
        accuracy: ``(first, second)`` fractions by name, where both were measured.
        environment: The differences of the environments, one text each.

    Examples:
        >>> accuracy = {"clean": (0.86, 0.86), "mean15": (0.7965, 0.7965)}
        >>> found = Repetition(None, None, True, 0.0, accuracy, ("threads: 1, now 2",))  # the runs are left out here
        >>> all(first == second for first, second in found.accuracy.values())
        True
    """

    first: Run
    second: Run
    weights_equal: bool
    weights_distance: float
    accuracy: Mapping[str, tuple[float, float]]
    environment: tuple[str, ...]


def rerun(
    path: str | Path,
    out: str | Path,
    data_path: str | Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
    *,
    stop: Stop = lambda: None,
    command: str | None = None,
    log: Log | None = None,
) -> Repetition:
    """Repeat a finished run with its recipe, data, device, threads and precision, and compare.

    Args:
        path: The run directory.
        out: Where to repeat it; an unfinished repetition there is resumed, a finished one is only compared.
        data_path: Where the data is now, if it has moved.
        device: A device to use instead of the first run's.
        progress: Called as ``progress(done, total, message)``.
        stop: See `run_recipe`.
        command: The shell command that repeats the run; it is stored with the repetition.
        log: See `run_recipe`; None by default.

    Returns:
        Both runs, and how they differ.

    Raises:
        FileNotFoundError: If the run is not there or not finished.
        ValueError: As `run_recipe`.

    Examples:
        >>> rerun("no/such/run", "repeated")
        Traceback (most recent call last):
        FileNotFoundError: no/such/run is no run directory: recipe.toml is missing
    """
    first = load_run(path)
    if Path(out).resolve() == first.path.resolve():
        raise ValueError(f"{out} is the run itself; choose another out")
    second = run_recipe(
        first.recipe, out, data_path, device, progress, resume=True, stop=stop, like=first, command=command, log=log
    )
    check_classes(first, second.classes, second.path)
    return _compared(first, second)


def _compared(first: Run, second: Run) -> Repetition:
    a, b = first.model.state_dict(), second.model.state_dict()
    differences = torch.cat([(a[name].double() - b[name].double()).flatten() for name in a])
    pairs = {name: (getattr(first.report, name), getattr(second.report, name)) for name in ACCURACIES}
    return Repetition(
        first=first,
        second=second,
        weights_equal=all(torch.equal(a[name], b[name]) for name in a),
        weights_distance=float(differences.abs().max()),
        accuracy={name: pair for name, pair in pairs.items() if None not in pair},
        environment=tuple(environment_differences(first.environment, second.environment)),
    )
