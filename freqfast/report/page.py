"""The report page: runs compared on one self-contained HTML page."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from freqfast import __version__
from freqfast.analysis import find_analysis, list_analyses
from freqfast.files import write_text
from freqfast.progress import Progress
from freqfast.report.entries import Entry, load_entries
from freqfast.report.inline import inline_figure
from freqfast.report.measures import ALL, corruption_families, difference, measure, measures_of, verdict
from freqfast.report.page_figures import FILTERS, page_figures
from freqfast.runs.recipe import differing_fields, dotted_settings

_BUDGET = ("data", "image_size", "model", "model_options", "epochs", "batch_size", "test_images", "holdout")
"""Fields of a recipe that runs must share for their accuracies to be comparable."""


def write_page(path: str | Path, runs: Sequence[str | Path], progress: Progress | None = None) -> None:
    """Compare finished runs on one self-contained HTML page, which is written whole or not at all.

    Analyses that are kept in the run directories (``analysis/*.json``) are shown. Accuracies are those in
    ``evaluation.json``, by the run itself or by a later evaluation. Their differences are paired, image by image, if
    the images are the same.

    Args:
        path: The file, replaced if it exists.
        runs: Run directories; differences are to the first.
        progress: Called as ``progress(done, total, message)`` after each figure.

    Raises:
        FileNotFoundError: If a run is missing or not finished, or its evaluation or the file's folder is missing.
        ValueError: If a file in a run is corrupt or belongs to another model than the run's.

    Examples:
        >>> write_page("report.html", [])
        Traceback (most recent call last):
        ValueError: name at least one run directory
    """
    write_text(path, render_page(load_entries(runs), progress))


def render_page(
    entries: Sequence[Entry],
    progress: Progress | None = None,
    command: str | None = None,
    analyse: Callable[[str, Path], str] | None = None,
) -> str:
    """The page as HTML; see `write_page`.

    If a shell command makes the page it is `command`, and `analyse` gives the one that adds an analysis, by its name,
    to a run directory.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"percent": _percent, "breakable": _breakable}
    template = environment.from_string(files("freqfast.report").joinpath("page.html.jinja").read_text("utf-8"))
    first, names = entries[0], [entry.label for entry in entries]
    measures = measures_of([entry.result for entry in entries])
    if len(entries) == 1:
        title, lead = f"Run {first.label}", _verdict(first)
    else:
        title = f"{len(entries)} runs compared"
        lead = "; ".join(
            [*(_change(entry, first, measures) for entry in entries[1:]), f"differences are to {first.label}"]
        )
    commands, without_command = _commands(entries, command)
    differing, shared = _settings(entries)
    missing = _missing(entries)
    results = [_row(entry, first, measures) for entry in entries]
    page = template.render(
        title=title,
        lead=lead,
        version=__version__,
        date=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        labels=names,
        cautions=_cautions(entries),
        differing=differing,
        shared=shared,
        measures={name: "all measured" if name == ALL else name for name in measures},
        first_band=next((entry.spectra.bands.names[0] for entry in entries if entry.spectra), "low"),
        results=results,
        method=_method(entries, results),
        by_corruption=_by_corruption(entries),
        parts=_parts(entries, progress),
        missing=missing,
        commands_to_add=[] if analyse is None else [analyse(*one) for ones in missing.values() for one in ones],
        commands=commands,
        without_command=_listed(without_command) if without_command else None,
        recipes={entry.label: entry.run.recipe.to_toml() for entry in entries},
    )
    return page + "\n"


def _percent(fraction: float, signed: bool = False) -> str:
    """A fraction in percent with one decimal; signed with a true minus sign."""
    return f"{100 * fraction:+.1f}".replace("-", "−") if signed else f"{100 * fraction:.1f}"  # noqa: RUF001


def _breakable(text: str) -> Markup:
    """Text, escaped, that may be broken after the marks that join the parts of names."""
    return Markup("<wbr>").join(re.split(r"(?<=[_./])", text))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _settings(entries: Sequence[Entry]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The settings by name: for those that differ a value for each run, for the others the common value."""
    told = [_facts(entry) for entry in entries]
    names = dict.fromkeys(name for facts in told for name in facts)
    heads = [name.partition(".")[0] for name in names]
    order = sorted(names, key=lambda name: heads.index(name.partition(".")[0]))  # arguments below their callback
    values = {name: [facts.get(name, "–") for facts in told] for name in order}  # noqa: RUF001
    differing = {name: of_runs for name, of_runs in values.items() if len(set(of_runs)) > 1}
    return differing, {name: of_runs[0] for name, of_runs in values.items() if name not in differing}


def _facts(entry: Entry) -> dict[str, str]:
    recipe, environment = entry.run.recipe, entry.run.environment
    settings = {name: _as_text(value) for name, value in dotted_settings(recipe).items()}
    return {
        "recipe": recipe.name or "–",  # noqa: RUF001
        "what it is for": recipe.description,
        **settings,
        "precision": entry.run.report.precision,
        "device": environment.gpu or environment.device,
        "freqfast": entry.run.report.version,
    }


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _missing(entries: Sequence[Entry]) -> dict[str, list[tuple[str, Path]]]:
    """The analyses that runs lack, by title: the analysis's name and the run directory of each."""
    lacking = {
        name: [(name, entry.run.path) for entry in entries if name not in entry.analyses] for name in list_analyses()
    }
    return {find_analysis(name).title: ones for name, ones in lacking.items() if ones}


def _cautions(entries: Sequence[Entry]) -> list[str]:
    """Warnings of what makes the runs less comparable."""
    first, cautions = entries[0], []
    for entry in entries:
        report, later = entry.run.report, entry.result.provenance
        if later is not None and not entry.result.is_reported(report.clean, report.accuracy):
            cautions.append(f"{entry.label} was evaluated anew, on {later.source}: its own report has other figures.")
    for entry in entries[1:]:
        differing = [name for name in differing_fields(first.run.recipe, entry.run.recipe) if name in _BUDGET]
        if differing:
            cautions.append(
                f"{entry.label} and {first.label} differ in {', '.join(differing)}: the filters are not their "
                "only difference."
            )
        mine, theirs = (e.run.environment.data.sha256 for e in (entry, first))
        if mine and theirs and mine != theirs:
            cautions.append(f"{entry.label} and {first.label} were trained on different data.")
        mine, theirs = _precision(entry), _precision(first)
        if mine != theirs:
            cautions.append(
                f"{entry.label} was evaluated in {mine}, {first.label} in {theirs}, which moves accuracies too."
            )
        if not _same_bands(entry, first):
            cautions.append(f"{entry.label} and {first.label} have different bands; figures mark the first run's.")
        if entry.spectra and first.spectra and entry.spectra.layer != first.spectra.layer:
            layers = f"{entry.spectra.layer} and {first.spectra.layer}"
            cautions.append(f"{entry.label} and {first.label} have spectra of different layers, {layers}.")
    return [*cautions, *_few_seeds(entries)]


def _precision(entry: Entry) -> str:
    """The precision of what was measured, by the run itself or by a later evaluation."""
    later = entry.result.provenance
    return entry.run.report.precision if later is None else later.precision


def _few_seeds(entries: Sequence[Entry]) -> list[str]:
    """A caution if runs are compared and there is only one seed of a recipe."""
    recipes = [entry.run.recipe for entry in entries]
    seeds = [{other.seed for other in recipes if {"seed"}.issuperset(differing_fields(one, other))} for one in recipes]
    alone = [entry.label for entry, found in zip(entries, seeds, strict=True) if len(found) == 1]
    if len(entries) == 1 or not alone:
        return []
    whose = "One seed each" if len(alone) == len(entries) else f"Only one seed of {_listed(alone)}"
    differ = any(found != seeds[0] for found in seeds)
    return [
        f"{whose}: the intervals are over test images, not over trainings. "
        + ("Not all recipes have the same seeds, so differences may come from these. " if differ else "")
        + "For claims about a method, run a study over several seeds."
    ]


def _same_bands(entry: Entry, first: Entry) -> bool:
    return entry.spectra is None or first.spectra is None or entry.spectra.bands == first.spectra.bands


def _verdict(entry: Entry) -> str:
    """What a run measured, in a sentence."""
    clean = entry.result.clean
    told = [] if clean is None else [f"{100 * clean:.1f} % clean"]
    told += [verdict(entry.result).replace(" -", " −")] if entry.result.accuracy else []  # noqa: RUF001
    return ", ".join(told) or "nothing was measured"


def _change(entry: Entry, first: Entry, measures: Sequence[str]) -> str:
    """How much more or less a run has right than the first, under corruption and clean."""
    told = []
    for name in [*[name for name in measures if name != "clean"][:1], "clean"]:
        change, _ = difference(entry.result, first.result, name)
        where = {"clean": "clean", ALL: "under corruption"}.get(name, f"in {name}")
        if change is not None:
            span = " to ".join(_percent(end, True) for end in change.interval or ())
            told.append(f"{_percent(change.value, True)} points {where}" + (f" (95 %: {span})" if span else ""))
    return f"{entry.label}: {', '.join(told) or 'nothing to compare'}"


def _row(entry: Entry, first: Entry, measures: Sequence[str]) -> dict[str, Any]:
    cells = []
    for name in measures:
        change, paired = (None, False) if entry is first else difference(entry.result, first.result, name)
        cells.append({"accuracy": measure(entry.result, name), "change": change, "paired": paired})
    low = "unknown" if entry.spectra is None else f"{100 * entry.spectra.proportion[0]:.0f} %"
    low = low if _same_bands(entry, first) else "different bands"
    minutes = f"{entry.run.report.seconds.fit / 60:.1f} min"
    return {"label": entry.label, "cells": cells, "low_filters": low, "training": minutes}


def _method(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on how the intervals of the rows were computed."""
    counted = " or ".join(f"{n:,}" for n in sorted({entry.result.images for entry in entries}))
    sentences = [
        f"Each corruption at each severity was measured on {counted} images.",
        "Intervals of means over corruptions have the image as their unit.",
    ]
    paired = {cell["paired"] for row in rows for cell in row["cells"] if cell["change"] is not None}
    if paired == {True, False}:
        sentences.append("Differences marked as paired are taken image by image, on the same images.")
    if False in paired:
        sentences.append("Unpaired differences, of different images, have the two half-widths added in quadrature.")
    return sentences


def _by_corruption(entries: Sequence[Entry]) -> dict[str, list[float | None]]:
    """Mean accuracy over severities of each corruption, by run."""
    means = [entry.result.by_corruption for entry in entries]
    names = chain(*corruption_families(chain(*means)).values())
    return {name.replace("_", " "): [of_run.get(name) for of_run in means] for name in names}


def _parts(entries: Sequence[Entry], progress: Progress | None) -> list[dict[str, Any]]:
    """The page's parts with their figures, drawn."""
    wanted = list(page_figures(entries))
    drawn = []
    for done, figure in enumerate(wanted, 1):
        drawn.append((figure, inline_figure(figure.draw)))
        if progress:
            progress(done, len(wanted), figure.title)
    parts = groupby(drawn, key=lambda pair: pair[0].part)
    return [{"title": part, "is_filters": part.startswith(FILTERS), "figures": list(pairs)} for part, pairs in parts]


def _commands(entries: Sequence[Entry], page_command: str | None) -> tuple[list[str], list[str]]:
    """The recorded commands that made the runs, their measurements and the page; and by run what has no command."""
    commands, without = [], []
    for entry in entries:
        made = {"run": entry.run.environment.command}
        if entry.result.provenance is not None:  # not the run's own
            made["evaluation"] = entry.result.provenance.command
        for name, found in entry.analyses.items():
            if entry.run.directory.analysis(name).is_file():
                made[name] = found.command
        commands += [command for command in made.values() if command is not None and command not in commands]
        if lacking := [what for what, command in made.items() if command is None]:
            without.append(f"{entry.label} ({', '.join(lacking)})")
    if page_command is not None:
        commands.append(page_command)
    return commands, without
