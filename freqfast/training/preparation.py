"""Prepare a run: load its data, build its Learner, and check that a resumed run is the one that was started."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from freqfast.compute.ranks import Ranks, current_ranks
from freqfast.corruptions import SEVERITIES, corrupt, plugin_corruptions
from freqfast.corruptions.batch import check_size
from freqfast.data import ImageData, load_data
from freqfast.files import file_sha256
from freqfast.models.file import check_round_trip
from freqfast.models.network import Network
from freqfast.progress import Progress
from freqfast.records import differences
from freqfast.runs.directory import RunDirectory
from freqfast.runs.environment import Environment, environment_differences
from freqfast.runs.recipe import Recipe, differing_fields
from freqfast.training.checkpoint import Origin
from freqfast.training.environment import describe_environment, threads
from freqfast.training.learner import build_learner, filter_proportion, try_settings
from freqfast.training.loop import ResumableLearner


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to train."""

    recipe: Recipe
    directory: RunDirectory  # does not exist yet if the run is new
    environment: Environment  # of its start, with the present device
    data: ImageData  # images that the recipe holds out replace the test images
    learn: ResumableLearner  # untrained
    before: list[float]  # the frequency proportion of the untrained model
    ranks: Ranks  # train and evaluate it together

    @property
    def origin(self) -> Origin:
        """The origin of its checkpoints."""
        start = self.environment
        return Origin(start.recipe_sha256, start.data.sha256, start.threads, start.precision)

    @property
    def network(self) -> Network:
        """The network as it is now, to be stored."""
        return replace(self.learn.network, module=self.learn.model)


def prepare_run(
    recipe: Recipe,
    directory: RunDirectory,
    start: Environment | None = None,
    data_path: str | Path | None = None,
    device: torch.device | str | None = None,
    command: str | None = None,
    progress: Progress | None = None,
) -> PreparedRun:
    """Load a run's data and build its Learner; for a resumed run, check that the data is the same as at its start.

    See `freqfast.training.run_recipe` for the arguments, and for the errors. `start` is the environment that gives
    threads, precision and, unless they are given, data path and device: that of the run's own start if the directory
    exists, else that of a run to repeat, or None.
    """
    ranks = current_ranks()
    if start is not None:
        data_path = data_path or start.data.place()
        device = device or start.device
        if directory.is_started and start.ranks != ranks.count:
            raise ValueError(
                f"{directory.path} was started with ranks {start.ranks}, here are {ranks.count}; go on with as many "
                "processes as at its start"
            )
    if ranks.count > 1:
        from freqfast.training.ranks import split_training  # needs accelerate, which not everybody has
    weights = _weights_of(recipe, start)
    options = recipe.model_options if weights is None else {**recipe.model_options, "weights": str(weights)}
    found = replace(recipe, model_options=options)
    if not directory.is_started:
        try_settings(found)  # before data is fetched
    device = ranks.device(device)
    data = load_data(recipe.data, data_path, progress, recipe.image_size)
    with threads(torch.get_num_threads() if start is None else start.threads):
        precision = recipe.precision if start is None else start.precision
        environment = describe_environment(recipe, data, data_path, device, precision, command, weights)
        if start is not None and directory.is_started:
            _check_data(start, environment, directory)
            if changes := environment_differences(start, environment):
                warnings.warn(
                    f"not the environment that {directory.path} was started in, so its result may differ: "
                    f"{'; '.join(changes)}",
                    stacklevel=3,
                )
            environment = replace(start, device=environment.device)
        data = data.hold_out(recipe.holdout)
        first = np.asarray(data.test.pixels[:1])
        check_size(*first.shape[1:3])
        try:
            for name, severity in product(plugin_corruptions(), SEVERITIES):
                corrupt(first, name, severity)
        except ValueError as error:
            raise ValueError(f"{error}; repair it or uninstall its package: runs are evaluated on it") from error
        chosen = replace(found, precision=environment.precision)
        learn = build_learner(chosen, data, ranks.device(environment.device), path=directory.path)
        if ranks.count > 1:
            split_training(learn, ranks, recipe)
        prepared = PreparedRun(recipe, directory, environment, data, learn, filter_proportion(learn), ranks)
        check_round_trip(prepared.network)
    return prepared


def check_recipe(given: Recipe, directory: RunDirectory) -> Recipe:
    """A run's own recipe, if it agrees with the given one and its file has not changed since the start.

    Names and descriptions do not affect a run, and may differ; the run keeps its own.
    """
    stored = directory.read_recipe()
    names = differing_fields(stored, given)
    old, new = ({name: getattr(recipe, name) for name in names} for recipe in (stored, given))
    if "callbacks" in names:
        old["order of callbacks"], new["order of callbacks"] = list(stored.callbacks), list(given.callbacks)
    for key, then, now in differences(old, new):
        raise ValueError(
            f"{directory.path} was started with {key} {then!r}, the recipe given has {now!r}; "
            "give the same recipe or another out"
        )
    digest = file_sha256(directory.recipe)
    if not directory.is_finished and digest != directory.read_environment().recipe_sha256:
        raise ValueError(
            f"{directory.recipe} has changed since the run was started (its SHA-256 is not the one in "
            f"{directory.environment.name}); put the old text back, or start a new run"
        )
    return stored


def _weights_of(recipe: Recipe, start: Environment | None) -> Path | None:
    """The file of trained weights of a run's start, if it is there and the recipe names it, maybe relatively."""
    path = Path(start.start_path) if start and start.start_path else None
    named = Path(str(recipe.model_options.get("weights"))).name
    return path if path and path.name == named and path.exists() else None


def _check_data(start: Environment, now: Environment, directory: RunDirectory) -> None:
    """Refuse other data than that of the start, naming the files that were written since."""
    if now.data.sha256 == start.data.sha256:
        return
    place = now.data.path
    files = [] if place is None else list(_written_since(directory.environment.stat().st_ctime, Path(place)))
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    raise ValueError(
        f"the data {place or now.data.name} has changed since {directory.path} was started (SHA-256 of its arrays "
        f"{now.data.sha256[:12]}..., then {start.data.sha256[:12]}...)"
        + (f"; written since: {', '.join(files[:3])}{more}" if files else "")
        + "; put the old data back or start a new run"
    )


def _written_since(moment: float, place: Path) -> Iterator[str]:
    """Files of a data set that were written, moved or replaced since, by the time that no program can set back."""
    if place.is_file():
        yield place.name
        return
    for folder, _, names in os.walk(place):
        for path in (Path(folder) / name for name in sorted(names)):
            if path.lstat().st_ctime > moment:
                yield str(path.relative_to(place))
