"""The figures of a report page, each with its caption and a text alternative that tells its main numbers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from freqfast.analysis import AnalysisResult, ImageResult, find_analysis, list_analyses
from freqfast.report.entries import Entry
from freqfast.report.filters import filter_grid, shown_kernel
from freqfast.report.robustness_figures import accuracy_by_severity, clean_against_mean15
from freqfast.report.spectra_figures import (
    DB_PER_NEPER,
    decibel_profile,
    learned_gains,
    power_profile,
    proportion_history,
)
from freqfast.spectra import Spectra

FILTERS = "Filters of "  # how the heading of their part begins


@dataclass(frozen=True)
class PageFigure:
    """A figure to be drawn on a page."""

    part: str  # heading of the part of the page where it stands
    title: str
    caption: str  # what it shows and how to read it
    alt: str  # what it shows, for those who do not see it
    draw: Callable[[], Figure]
    wide: bool = False


def page_figures(entries: Sequence[Entry]) -> Iterator[PageFigure]:
    """All figures that the runs have data for, in the page's order."""
    yield from _robustness(entries)
    spectra = {entry.label: entry.spectra for entry in entries if entry.spectra is not None}
    if spectra:
        yield from _filters(spectra)
    yield from _analyses(entries)


def _robustness(entries: Sequence[Entry]) -> Iterator[PageFigure]:
    part = "Robustness"
    results = {entry.label: entry.result for entry in entries}
    both = {k: (r.clean, r.mean15) for k, r in results.items()}
    if len(entries) > 1 and any(None not in pair for pair in both.values()):
        told = [f"{k}: clean {_percent(c)}, mean15 {_percent(m)}" for k, (c, m) in both.items()]
        caption = "One point per run, with 95 % intervals; better is up and to the right."
        draw = partial(clean_against_mean15, results)
        yield PageFigure(part, "Clean accuracy against mean15", caption, _told(told), draw)
    measured = {label: result.by_corruption for label, result in results.items() if result.accuracy}
    if measured:
        told = []
        for label, means in measured.items():
            worst, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
            told.append(f"{label}: from {_percent(means[worst])} on {worst} to {_percent(means[best])} on {best}")
        caption = (
            "Shaded: 95 % Wilson intervals; dotted: clean accuracy; titles in italics: not in mean15. The numbers are "
            "in the table above, under “Accuracy by corruption”."
        )
        draw = partial(accuracy_by_severity, results)
        yield PageFigure(part, "Accuracy by corruption and severity", caption, _told(told), draw, True)


def _filters(spectra: Mapping[str, Spectra]) -> Iterator[PageFigure]:
    part = f"{FILTERS}{' and '.join(dict.fromkeys(one.layer or 'the model itself' for one in spectra.values()))}"
    for label, one in spectra.items():
        caption = (
            f"{shown_kernel(one)} beside its power spectrum, by band, purest first; in percent: its energy in the band."
        )
        alt = f"{label}: {len(one.power)} filters of {one.layer}, {_proportion(one)}"
        yield PageFigure(part, f"Filters of {label}", caption, alt, partial(filter_grid, one, title=""), True)
    told = []
    for label, one in spectra.items():
        _, level = decibel_profile(one.power)
        told.append(f"{label}: {level[0]:+.1f} dB at 0, {level[-1]:+.1f} dB at 0.7 cycles/pixel")
    caption = (
        "Mean over all directions, relative to a white-noise kernel of the same energy. A thin line is a modulated "
        "layer without its learned gains."
    )
    yield PageFigure(part, "Power by radial frequency", caption, _told(told), partial(power_profile, spectra))
    recorded = {label: one for label, one in spectra.items() if one.history is not None}
    if recorded:
        told = [f"{label}: {_proportion(one)} of the filters after training" for label, one in recorded.items()]
        caption = "Solid: share of the filters; dashed: of the layer's energy; dotted: the target, where enforced."
        draw = partial(proportion_history, recorded)
        yield PageFigure(part, "Proportion by epoch", caption, _told(told), draw, len(recorded) > 1)
    for label, one in spectra.items():
        if one.log_gain is not None:
            gain = DB_PER_NEPER * one.log_gain
            alt = f"{label}: power gains from {gain.min():+.1f} to {gain.max():+.1f} dB, {gain.mean():+.1f} on average."
            caption = "How much of each frequency the modulation learned to pass, on the kernel's own DFT grid."
            yield PageFigure(part, f"Learned gains of {label}", caption, alt, partial(learned_gains, one, ""), True)


def _analyses(entries: Sequence[Entry]) -> Iterator[PageFigure]:
    bands = next((entry.spectra.bands for entry in entries if entry.spectra is not None), None)
    for name in list_analyses():
        found = {entry.label: entry.analyses[name] for entry in entries if name in entry.analyses}
        if found:
            analysis = find_analysis(name)
            told = _told([analysis.describe(label, one) for label, one in found.items()])
            wide = analysis.side_by_side and len(found) > 1
            draw = partial(analysis.figure, found, bands)
            caption = analysis.caption + _on_images(found) + _differing(found)
            yield PageFigure("Analyses", analysis.title, caption, told, draw, wide)


def _on_images(found: Mapping[str, AnalysisResult]) -> str:
    """A sentence on how many images the runs were analysed on, if on any."""
    counts = {label: one.images for label, one in found.items() if isinstance(one, ImageResult)}
    if len(set(counts.values())) == 1:
        return f" On {next(iter(counts.values())):,} images."
    told = ", ".join(f"{count:,} images ({label})" for label, count in counts.items())
    return f" On {told}." if told else ""


def _differing(found: Mapping[str, AnalysisResult]) -> str:
    """Sentences on what keeps the runs' results from being compared: other layers, or other strengths of a wave."""
    sentences = ""
    for name, words in (("layer", "Of different layers"), ("norm", "Of different L2 norms")):
        values = {label: getattr(one, name, None) for label, one in found.items()}
        if len(set(values.values())) > 1:
            sentences += f" {words}: {', '.join(f'{value} ({label})' for label, value in values.items())}."
    return sentences


def _told(sentences: Sequence[str]) -> str:
    return "; ".join(sentences) + "."


def _percent(fraction: float | None) -> str:
    return "not measured" if fraction is None else f"{100 * fraction:.1f} %"


def _proportion(spectra: Spectra) -> str:
    shares = zip(spectra.bands.names, spectra.proportion, strict=True)
    return ", ".join(f"{100 * share:.0f} % {name}" for name, share in shares)
