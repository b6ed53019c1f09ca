"""What the report page knows of each run: the run itself, what it measured, its spectra and its analyses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from freqfast.analysis import AnalysisResult, filter_quality, find_analysis, list_analyses
from freqfast.robustness import CorruptionResult
from freqfast.runs.run import Run, load_run
from freqfast.spectra import Spectra, are_spectra_of
from freqfast.spectra.h5 import read_spectra


@dataclass(frozen=True)
class Entry:
    """A run on the page.

    Attributes:
        label: Its name on the page.
        run: The run.
        result: Its accuracies, from ``evaluation.json``.
        spectra: Its first layer's spectra, None if the run has no such file.
        analyses: What the analyses found, by name.

    Examples:
        >>> Entry("a run", run=None, result=None).analyses
        {}
    """

    label: str
    run: Run
    result: CorruptionResult
    spectra: Spectra | None = None
    analyses: Mapping[str, AnalysisResult] = field(default_factory=dict)


def load_entries(paths: Sequence[str | Path]) -> list[Entry]:
    """Read finished runs with all that is in their directories.

    Args:
        paths: Run directories.

    Returns:
        An entry for each. Their labels are the shortest ends of the paths that differ.

    Raises:
        FileNotFoundError: If a path is no finished run, or its evaluation is missing.
        ValueError: If a file is corrupt or belongs to another model than the run's, or a run is named twice.

    Examples:
        >>> load_entries(["no/such/run"])
        Traceback (most recent call last):
        FileNotFoundError: no/such/run is no run directory: recipe.toml is missing
    """
    if not paths:
        raise ValueError("name at least one run directory")
    return [_load(path, label) for path, label in zip(paths, unique_labels(paths), strict=True)]


def _load(path: str | Path, label: str) -> Entry:
    run = load_run(path)
    weights = run.weights_sha256
    file = run.directory.evaluation
    if not file.is_file():
        reason = "; only a run itself measures the images that it holds out" if run.recipe.holdout else ""
        raise FileNotFoundError(f"{file} is missing{reason}")
    result = CorruptionResult.load(file)
    result.check_origin(file, weights, run.report.accuracy)
    file = run.directory.spectra
    spectra = read_spectra(file) if file.is_file() else None
    if spectra is not None and not are_spectra_of(run.model, spectra):
        raise ValueError(f"{file} is of another model than the run's; make it again or remove it")
    analyses = {}
    for name in list_analyses():
        file = run.directory.analysis(name)
        if file.is_file():
            analyses[name] = find_analysis(name).read(file)
            if analyses[name].weights_sha256 not in (None, weights):
                raise ValueError(f"{file} is of another model than the run's; make it again or remove it")
    if spectra is not None and "quality" not in analyses:
        analyses["quality"] = filter_quality(spectra.weight, spectra.layer)
    return Entry(label, run, result, spectra, analyses)


_STAMP = re.compile(r"-\d{8}-\d{6}-\d{6}$")  # the time, by default at the end of a run's name


def unique_labels(paths: Sequence[str | Path]) -> list[str]:
    """The shortest ends of the paths that differ, without the time at the end if the labels differ without it.

    Raises:
        ValueError: If two paths are the same folder.
    """
    whole = [Path(path).resolve() for path in paths]
    for i, path in enumerate(whole):
        if path in whole[:i]:
            raise ValueError(f"{path} is named twice; name each run once")
    depth = 1
    while len({path.parts[-depth:] for path in whole}) < len(whole):
        depth += 1
    full = ["/".join(path.parts[-depth:]) for path in whole]
    short = [_STAMP.sub("", label) for label in full]
    return [name if short.count(name) == 1 else label for name, label in zip(short, full, strict=True)]
