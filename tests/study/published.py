"""The published tables of studies, what the result files give for them, and the intervals that the prose quotes.

`python -m tests.study.published`, run when result files have changed and before they are committed, writes the tables
and the intervals anew, and lists the intervals that it leaves to you.
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

from freqfast.study import load_study, published_path, read_results, summarise, tables

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
ALL = sorted((ROOT / "recipes" / "studies").glob("*.toml"))
STUDIES = [path for path in ALL if published_path(path).exists()]
INTERVAL = re.compile(r"(\d+\.\d+)\s*±\s*(\d+\.\d+)")


@dataclass(frozen=True)
class Row:
    """A published row: its place, its arm, the arm it is compared to (None for the baseline), its cells by column."""

    page: Path
    line: int
    arm: str
    against: str | None
    cells: dict[str, str]
    whole: frozenset[str] = frozenset()  # columns that show intervals

    @property
    def place(self) -> str:
        """As in "docs/results/index.md:129"."""
        return f"{self.page.relative_to(ROOT)}:{self.line + 1}"

    def departures(self, study: Path, committed: bool = False) -> dict[str, tuple[str, str]]:
        """What is published and what the result file gives, by column, where they differ or the file lacks it."""
        given = given_by(study, self.against, committed).get(self.arm, {})
        return {
            column: (cell, shown)
            for column, cell in self.cells.items()
            if cell != (shown := shortened(given.get(column, ""), "±" in cell or column in self.whole))
        }


def shortened(given: str, whole: bool) -> str:
    """What a result file gives, without its interval where the published table leaves that out."""
    return given if whole else given.split(" ")[0]


def named_in(cell: str) -> str:
    """An arm's name; what it is may follow: "low-025: a quarter low", "antialiasing (`best`)"."""
    return re.split("[:, ]", cell)[0]


def split(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def columns(header: list[str]) -> list[str]:
    """Names of columns; a difference is named after the measure before it."""
    header = ["mean_bar" if name == "C-bar" else name for name in header]
    return [f"{before} diff" if name == "diff" else name for before, name in pairwise(["", *header])]


def tables_of(page: Path) -> Iterator[list[Row]]:
    """The tables of arms, and of differences: of settings (to the baseline, or "best to augmix: ..."), or of two arms.

    A row that names its study, and a row of differences, is a table by itself.
    """
    table: list[Row] = []
    header: list[str] | None = None
    for number, line in enumerate([*page.read_text(encoding="utf-8").splitlines(), ""]):
        if not line.lstrip().startswith("|"):
            if table:
                whole = frozenset(column for row in table for column, cell in row.cells.items() if "±" in cell)
                yield [replace(row, whole=whole) for row in table]
            table, header = [], None
        elif header is None:
            header = columns(split(line))
        elif "---" in line:
            continue
        elif header[0] == "arm":
            arm, *cells = split(line)
            table.append(Row(page, number, named_in(arm), None, dict(zip(header[1:], cells, strict=True))))
        elif header[:2] == ["study", "arm"]:
            _, arm, *cells = split(line)
            yield [Row(page, number, named_in(arm), None, dict(zip(header[2:], cells, strict=True)))]
        elif header[:2] == ["difference of", "to"]:
            arm, other, *cells = split(line)
            named = [f"{name} diff" for name in header[2:]]
            yield [Row(page, number, named_in(arm), named_in(other), dict(zip(named, cells, strict=True)))]
        elif header[0] == "setting":
            arm, *cells = split(line)
            to = re.match(r"\S+ to ([^:]+)", arm)
            named = [name if name == "n" else f"{name} diff" for name in header[1:]]
            yield [Row(page, number, named_in(arm), to and to[1], dict(zip(named, cells, strict=True)))]


TABLES = [table for page in PAGES for table in tables_of(page)]


@cache
def results_of(study: Path, committed: bool = False):
    """A study, and the rows of its result file: as it is, or as it was committed last."""
    path = published_path(study)
    if not committed:
        return load_study(study), read_results(path)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        former = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, stdout=file, check=False)
        return load_study(study), read_results(file.name) if former.returncode == 0 else ()


@cache
def given_by(study: Path, against: str | None = None, committed: bool = False) -> dict[str, dict[str, str]]:
    """The cells that a result file gives by arm and column, with differences to the baseline or to another arm."""
    definition, rows = results_of(study, committed)
    arms: defaultdict[str, dict[str, str]] = defaultdict(dict)
    if against is not None:
        if against not in {arm.name for arm in definition.arms}:
            return arms
        definition = replace(definition, baseline=against)
    for header, found in tables(summarise(definition, rows)):
        for arm, *cells in found:
            arms[arm].update(zip(columns(header)[1:], cells, strict=True))
    return arms


def agreeing(table: list[Row], committed: bool = False) -> list[Path]:
    """The studies whose result files give this table."""
    return [study for study in STUDIES if not any(row.departures(study, committed) for row in table)]


def elsewhere(page: Path, text: str) -> Iterator[re.Match[str]]:
    """The intervals outside of these tables, as in "5.9 ± 1.8"; one may span two lines."""
    lines = {row.line for table in TABLES for row in table if row.page == page}
    for found in INTERVAL.finditer(text):
        if text.count("\n", 0, found.start()) not in lines:
            yield found


def intervals(cells: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The intervals in cells, without signs."""
    for cell in cells:
        yield from INTERVAL.findall(cell)


def main() -> None:
    """Write the tables and the other intervals of changed result files anew."""
    pages = {page: page.read_text(encoding="utf-8").splitlines(keepends=True) for page in PAGES}
    now = defaultdict(set)  # by each interval in a table, what it became; None with another sign
    for table in TABLES:
        studies = agreeing(table) or agreeing(table, committed=True)
        if not studies:
            sys.exit(f"{table[0].place}: no result file gives this table, neither as it is nor as it was committed")
        for row in table:
            cells = row.cells | {column: given for column, (_, given) in row.departures(studies[0]).items()}
            parts = pages[row.page][row.line].split("|")
            parts[-1 - len(cells) : -1] = [f" {cell} " for cell in cells.values()]
            pages[row.page][row.line] = "|".join(parts)
            for before, after in zip(row.cells.values(), cells.values(), strict=True):
                for found in intervals([before]):
                    now[found].add(INTERVAL.findall(after)[0] if before[0] == after[0] else None)
    for page, lines in pages.items():
        text = "".join(lines)
        for found in reversed([*elsewhere(page, text)]):
            match [*now[found.groups()]]:
                case [(value, half)]:
                    between = text[found.end(1) : found.start(2)]
                    text = text[: found.start()] + value + between + half + text[found.end() :]
                case several:
                    line = text.count("\n", 0, found.start()) + 1
                    print(f"{page.relative_to(ROOT)}:{line}: {found[0]} is now any of {several}")
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
