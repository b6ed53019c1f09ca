"""The tables of a study: arms by measures, with intervals and differences to the baseline."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from freqfast.study.definition import Arm, Study
from freqfast.study.row import ResultRow
from freqfast.study.statistics import Estimate, Sample, difference, estimate

_FIRST = ("clean", "mean15", "mean7", "mean_bar")  # measures of the first table; others get columns in the second


@dataclass(frozen=True)
class ArmSummary:
    """The results of one arm of a study. Accuracies are fractions.

    Attributes:
        arm: Name of the arm.
        description: What the arm is.
        seeds: The seeds of its finished runs.
        means: Mean and interval by measure: "clean", "mean15", "mean7", "mean19", "mean_bar" and the families of
            corruptions, as far as they were measured.
        differences: Differences to the baseline's means, by measure; none for the baseline itself.
        relative_time: Seconds of training per epoch divided by the baseline's: the mean over the seeds that ran on the
            same hardware as the baseline's, without an interval. None if there are no such seeds, and for the baseline
            itself.
        failed: The seeds of its runs that failed.
        confidence: Of the intervals, see `freqfast.study.estimate`.

    Examples:
        >>> ArmSummary("low", "", (0,), {"clean": Estimate(0.9, None, 1)}, {}, None).failed
        ()
    """

    arm: str
    description: str
    seeds: tuple[int, ...]
    means: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    relative_time: Estimate | None
    failed: tuple[int, ...] = ()
    confidence: float = 0.95


def summarise(
    study: Study, rows: Sequence[ResultRow], failures: Collection[str] = (), confidence: float = 0.95
) -> list[ArmSummary]:
    """Summaries of the arms of a study that have finished or failed runs, in the study's order.

    The arms' deviation between seeds is pooled measure by measure; see `freqfast.study.estimate`. Runs on other data
    than most runs are left out.

    Args:
        study: The study.
        rows: The finished runs.
        failures: Names of the runs that failed.
        confidence: Of the intervals, see `freqfast.study.estimate`.

    Examples:
        >>> summarise(Study("Nothing", "", "", ()), ())
        []
    """
    rows = on_common_data(rows)
    baseline = [row for row in rows if row.arm == study.baseline]
    arms = _samples(rows)
    summaries = []
    for arm in study.arms:
        own = sorted((row for row in rows if row.arm == arm.name), key=lambda row: row.seed)
        failed = tuple(run.seed for run in arm.runs if run.name in failures)
        if own or failed:
            others = baseline if arm.name != study.baseline else []
            summaries.append(_summary(arm, own, others, arms, failed, confidence))
    return summaries


def on_common_data(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows whose data is that of most rows, which alone can be compared."""
    common = Counter(row.data for row in rows).most_common(1)
    return [row for row in rows if row.data == common[0][0]]


def _samples(rows: Sequence[ResultRow]) -> dict[str, list[Sample]]:
    """Each measure of all arms."""
    arms: dict[str, list[ResultRow]] = {}
    for row in rows:
        arms.setdefault(row.arm, []).append(row)
    return {name: [_sample(own, name) for own in arms.values()] for name in _measures(rows)}


def _summary(
    arm: Arm,
    rows: Sequence[ResultRow],
    baseline: Sequence[ResultRow],
    arms: Mapping[str, Sequence[Sample]],
    failed: tuple[int, ...],
    confidence: float,
) -> ArmSummary:
    means, differences = {}, {}
    for name in _measures(rows):
        sample = _sample(rows, name)
        if (mean := estimate(sample, arms[name], confidence)) is not None:
            means[name] = mean
        if (change := difference(sample, _sample(baseline, name), arms[name], confidence)) is not None:
            differences[name] = change
    return ArmSummary(
        arm=arm.name,
        description=arm.recipe.description,
        seeds=tuple(row.seed for row in rows),
        means=means,
        differences=differences,
        relative_time=_relative_time(rows, baseline),
        failed=failed,
        confidence=confidence,
    )


def _measures(rows: Sequence[ResultRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.measures()))


def _sample(rows: Sequence[ResultRow], measure: str) -> Sample:
    values = {row.seed: row.measures().get(measure) for row in rows}
    return Sample(
        {seed: value for seed, value in values.items() if value is not None},
        {row.seed: row.groups[measure] for row in rows if measure in row.groups},
    )


def _relative_time(rows: Sequence[ResultRow], baseline: Sequence[ResultRow]) -> Estimate | None:
    """Ratio of seconds per epoch over the seeds that both ran on the same hardware."""
    others = {(row.seed, row.hardware): row.seconds_per_epoch for row in baseline}
    pairs = [(row.seconds_per_epoch, others.get((row.seed, row.hardware), 0)) for row in rows]
    ratios = [seconds / other for seconds, other in pairs if other > 0]
    return Estimate(sum(ratios) / len(ratios), None, len(ratios)) if ratios else None


Cells = tuple[list[str], list[list[str]]]
"""Header and rows of a table as text."""


def tables(summaries: Sequence[ArmSummary]) -> list[Cells]:
    """The tables of a study: clean accuracy, means and time; then, if measured, the families of corruptions.

    Values are in percent with one decimal, ± half of the interval, which a single seed does not have. The number
    of seeds is added if it is not all n. Each measure is followed by its difference to the baseline. A dash stands
    for what is not known. Measures that no arm has are left out. Time is in multiples of the baseline's.

    Args:
        summaries: The arms, see `summarise`.

    Examples:
        >>> clean = Estimate(0.9, 0.01, 3)
        >>> tables([ArmSummary("low", "", (0, 1, 2), {"clean": clean}, {}, None)])
        [(['arm', 'n', 'clean', 'diff', 'time'], [['low', '3', '90.0 ±1.0', '-', '-']])]
    """
    measured = dict.fromkeys(name for summary in summaries for name in summary.means)
    first = [name for name in _FIRST if name in measured]
    families = [name for name in measured if name not in (*_FIRST, "mean19")]
    arm = ("arm", [summary.arm for summary in summaries])
    count = ("n", [_count(summary) for summary in summaries])
    time = ("time", [_written(summary.relative_time, summary, "{:.2f}") for summary in summaries])
    found = [_table([arm, count, *_columns(summaries, first), time])]
    if families:
        found.append(_table([arm, *_columns(summaries, families)]))
    return found


Column = tuple[str, list[str]]


def _columns(summaries: Sequence[ArmSummary], measures: Sequence[str]) -> Iterator[Column]:
    for name in measures:
        yield name, [_written(summary.means.get(name), summary, "{:.1f}", 100) for summary in summaries]
        yield "diff", [_written(summary.differences.get(name), summary, "{:+z.1f}", 100) for summary in summaries]


def _table(columns: Sequence[Column]) -> Cells:
    header = [label for label, _ in columns]
    rows = zip(*(cells for _, cells in columns), strict=True)
    return header, [list(row) for row in rows]


def _count(summary: ArmSummary) -> str:
    failed = f", {len(summary.failed)} failed" if summary.failed else ""
    return f"{len(summary.seeds)}{failed}"


def _written(value: Estimate | None, summary: ArmSummary, digits: str, times: float = 1) -> str:
    if value is None:
        return "-"
    of = "" if value.n == len(summary.seeds) else f" (n={value.n})"
    half = "" if value.half_width is None else " ±" + digits.replace("+z", "").format(times * value.half_width)
    return f"{digits.format(times * value.mean)}{half}{of}"


def legend(summaries: Sequence[ArmSummary]) -> str:
    """What the half-widths in a study's tables include, in one sentence.

    Args:
        summaries: The arms, see `summarise`.

    Examples:
        >>> legend([ArmSummary("low", "", (0, 1), {"clean": Estimate(0.9, 0.01, 2)}, {}, None)])
        '± half of a 95 % confidence interval over the seeds alone; none from one seed'
    """
    intervals = [
        (name, value)
        for summary in summaries
        for name, value in (*summary.means.items(), *summary.differences.items())
        if value.half_width is not None
    ]
    if not intervals:
        return "no intervals: no arm has two seeds"
    without = list(dict.fromkeys(name for name, value in intervals if not value.counts_images))
    if not any(value.counts_images for _, value in intervals):
        counted = "the seeds alone"
    else:
        counted = "seeds and images" + (f", in part over the seeds alone for {', '.join(without)}" if without else "")
    return f"± half of a {100 * summaries[0].confidence:g} % confidence interval over {counted}; none from one seed"


def results_table(summaries: Sequence[ArmSummary]) -> str:
    """A study's tables as Markdown, and below them the `legend`.

    Args:
        summaries: The arms, see `summarise`.

    Examples:
        >>> clean = Estimate(0.9, 0.01, 3)
        >>> print(results_table([ArmSummary("low", "", (0, 1, 2), {"clean": clean}, {}, None)]), end="")
        | arm | n | clean | diff | time |
        | --- | --: | --: | --: | --: |
        | low | 3 | 90.0 ±1.0 | - | - |
        <BLANKLINE>
        ± half of a 95 % confidence interval over the seeds alone; none from one seed
    """
    return "\n".join([*(_markdown(*cells) for cells in tables(summaries)), legend(summaries) + "\n"])


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))
