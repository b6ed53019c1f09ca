"""What `freqfast evaluate` is given: models, or results of earlier evaluations."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freqfast.cli.files import run_of_record
from freqfast.cli.options import ModelOptions

if TYPE_CHECKING:
    from freqfast.models.network import Network
    from freqfast.robustness import CorruptionResult


def is_result(text: str) -> bool:
    """Whether a word names a result file."""
    return Path(text).suffix == ".json"


def load_result(path: str | Path) -> "CorruptionResult":
    """Read a result file."""
    from freqfast.robustness import CorruptionResult

    return CorruptionResult.load(path)


def merge_results(paths: Sequence[str], baseline: str | None) -> tuple["CorruptionResult", "CorruptionResult | None"]:
    """What result files make together, and the baseline's results."""
    if baseline is not None and not is_result(baseline):
        raise ValueError(f"--merge evaluates nothing, so --baseline {baseline} must be a result file (--out)")

    from freqfast.robustness import CorruptionResult

    result = CorruptionResult.merge([(path, load_result(path)) for path in paths])
    return result, None if baseline is None else load_result(baseline)


def check_merged(out: Path | None, result: "CorruptionResult") -> None:
    """Refuse to write results over the record of a run of another model, or of another normalisation."""
    if (owner := run_of_record(out, "evaluation")) is None or not owner.is_finished:
        return

    from freqfast.runs.run import load_run

    run, of = load_run(owner.path), result.provenance
    if of is None or of.weights_sha256 != run.weights_sha256:
        raise FileExistsError(f"{out} is the record of a run of another model; choose another path")
    if (of.mean, of.std) != (run.network.preprocessing.mean, run.network.preprocessing.std):
        raise FileExistsError(f"{out} is the record of a run, of its own normalisation; choose another path")


def load_models(
    options: ModelOptions, model: str, baseline: str | None, baseline_weights: Path | None
) -> tuple[list["Network"], "CorruptionResult | None"]:
    """The models to evaluate, with the baseline if that is one, else the baseline's results."""
    if baseline is None:
        return [options.load(model)], None
    if is_result(baseline):
        return [options.load(model)], load_result(baseline)
    both = [(model, options), (baseline, options._replace(weights=baseline_weights))]
    whole = [":" not in name or name.startswith("zoo:") or Path(name).exists() for name, _ in both]
    if any(whole):  # the baseline, else MODEL, keeps its own normalisation, and what is given is the other's
        i = int(whole[1])
        both[i] = (both[i][0], both[i][1]._replace(mean=None, std=None))
    downloads = [name.startswith(("timm:", "torchvision:")) and own.weights is None for name, own in both]
    sources = []
    for (name, own), download in zip(both, downloads, strict=True):
        if any(downloads) and not download:
            own = own._replace(pretrained=False)
        sources.append(own.load(name))
    return sources, None
