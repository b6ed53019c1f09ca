"""Analyses by name: freqfast's, and those that other packages register. Names are known without importing them."""

from pathlib import Path
from typing import TYPE_CHECKING

from freqfast.plugins import find_plugins, import_object, load_plugin

if TYPE_CHECKING:
    from freqfast.analysis.definition import Analysis, AnalysisResult

OURS = {
    "heatmap": (
        "freqfast.analysis.heat_map:HEAT_MAP",
        "Fourier heat map: the error when a wave of each spatial frequency is added to the test images.",
    ),
    "reliance": (
        "freqfast.analysis.reliance:RELIANCE",
        "Frequency reliance: accuracy on low-, high- and band-pass filtered test images.",
    ),
    "ablation": (
        "freqfast.analysis.ablation:ABLATION",
        "Band ablation: accuracy without a band's filters, and without the band in every filter's response.",
    ),
    "features": (
        "freqfast.analysis.features:FEATURES",
        "Feature spectra: frequencies and variance of the feature maps, stage by stage (Park and Kim, 2022).",
    ),
    "quality": (
        "freqfast.analysis.quality:QUALITY",
        "Filter quality: sparsity, variance entropy and orthogonality (Gavrikov and Keuper, 2022); needs no data.",
    ),
}
"""freqfast's analyses by name: where each is defined, and a line about it."""


def list_analyses() -> dict[str, str]:
    """Names of the analyses with a line about each, freqfast's first. Nothing is imported.

    Examples:
        >>> list(list_analyses())[:5]
        ['heatmap', 'reliance', 'ablation', 'features', 'quality']
    """
    others = {name: point.dist for name, point in find_plugins("analyses").items() if name not in OURS}
    lines = {name: f"An analysis by {package.name}." if package else "" for name, package in others.items()}
    return {name: line for name, (_, line) in OURS.items()} | lines


def find_analysis(name: str) -> "Analysis":
    """The analysis with this name.

    Raises:
        ValueError: If there is none, or if the entry point of a package cannot be imported or is no `Analysis` of this
            name.

    Examples:
        >>> find_analysis("quality").title
        'Filter quality'
    """
    from freqfast.analysis.definition import Analysis

    if name in OURS:
        return import_object(OURS[name][0])  # type: ignore[no-any-return]
    points = find_plugins("analyses")
    if name not in points:
        raise ValueError(f"unknown analysis {name!r}; the analyses are {', '.join(list_analyses())}")
    found = load_plugin("analyses", points[name])
    if not isinstance(found, Analysis) or found.name != name:
        what = f"the analysis {found.name!r}" if isinstance(found, Analysis) else f"a {type(found).__name__}"
        raise ValueError(f"analysis entry point {name!r} must be an Analysis of this name, got {what}")
    return found


def read_analysis(path: str | Path) -> "AnalysisResult":
    """Read what an analysis found from its file, ``analysis/<name>.json`` in a run directory.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no result of an analysis, or corrupt; the message names the file and the key.

    Examples:
        >>> read_analysis("absent.json")
        Traceback (most recent call last):
        FileNotFoundError: absent.json does not exist
    """
    from freqfast.analysis.definition import AnalysisResult
    from freqfast.records import read_record

    name = read_record(path, AnalysisResult, ignore_unknown=True).analysis
    try:
        analysis = find_analysis(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return analysis.read(path)
