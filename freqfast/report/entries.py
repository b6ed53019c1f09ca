"""What a report page knows of each run: the run itself, its results, its spectra and the analyses beside them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from freqfast.analysis import ANALYSES, Analysis, filter_quality, read_analysis
from freqfast.models.classifier import hash_weights
from freqfast.robustness import CorruptionResult
from freqfast.runs.environment import DataOrigin
from freqfast.runs.run import Run, load_run
from freqfast.spectra import Spectra
from freqfast.spectra.h5 import check_readable, read_spectra

__all__ = ["Entry", "load_entries", "unique_labels"]


@dataclass(frozen=True)
class Entry:
    """A run on the page.

    Attributes:
        label: What it is called there.
        run: The run.
        result: What it measured.
        spectra: Its first layer's spectra, None if the run has no such file.
        analyses: What the analyses found, by kind.
    """

    label: str
    run: Run
    result: CorruptionResult
    spectra: Spectra | None = None
    analyses: Mapping[str, Analysis] = field(default_factory=dict)

    @property
    def data(self) -> DataOrigin:
        """Its data: name, path (None where it was found by its name alone) and SHA-256."""
        return self.run.environment.data


def load_entries(paths: Sequence[str | Path]) -> list[Entry]:
    """Read finished runs with all that is beside them.

    Raises:
        FileNotFoundError: If a path is no finished run, or one without its outcomes.
        ValueError: If a file is not sound, belongs to another model, or a run is named twice.
    """
    if not paths:
        raise ValueError("name at least one run directory")
    return [_load(path, label) for path, label in zip(paths, unique_labels(paths), strict=True)]


def _load(path: str | Path, label: str) -> Entry:
    run = load_run(path)
    outcomes = run.directory.evaluation
    if not outcomes.is_file() and run.recipe.holdout:
        again = shlex.join(["freqfast", "rerun", str(path)])
        raise FileNotFoundError(
            f"{outcomes} is missing, and only a run itself measures the images that it holds out; `{again}` repeats it"
        )
    if not outcomes.is_file():
        command = shlex.join(["freqfast", "evaluate", str(path), "--on-the-fly", "--out", str(outcomes)])
        raise FileNotFoundError(f"{outcomes} is missing; `{command}` writes it")
    result = CorruptionResult.load(outcomes)
    if result.provenance is not None and result.provenance.weights_sha256 != hash_weights(run.model):
        raise ValueError(f"{outcomes} is of another model than the run's; make it again with `freqfast evaluate`")
    file = run.directory.spectra
    check_readable(file)
    spectra = read_spectra(file) if file.is_file() else None
    analyses = {kind: read_analysis(found) for kind in ANALYSES if (found := run.directory.analysis(kind)).is_file()}
    if spectra is not None and "quality" not in analyses:
        analyses["quality"] = filter_quality(spectra.weight, spectra.layer)
    return Entry(label, run, result, spectra, analyses)


def unique_labels(paths: Sequence[str | Path]) -> list[str]:
    """The shortest ends of the paths that differ: the folders' names, with folders above them where those are equal.

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
    return ["/".join(path.parts[-depth:]) for path in whole]
