"""An evaluation as a flat table, one row a cell."""

import csv
import io
from pathlib import Path
from typing import Any

from freqfast.corruptions import FAMILIES
from freqfast.files import write_text
from freqfast.robustness.comparison import Comparison
from freqfast.robustness.result import CorruptionResult

COLUMNS = ("corruption", "severity", "family", "images", "right", "accuracy", "low", "high", "ece")
PAIRED = ("difference", "only_model", "only_baseline", "p")


def cell_rows(result: CorruptionResult, comparison: Comparison | None = None) -> list[dict[str, Any]]:
    """One row a cell, the clean one (severity 0) first if it was measured; all but the counts are fractions.

    A comparison adds the columns of `PairedCell`, empty for cells that the baseline lacks.
    """
    family_of = {name: family for family, names in FAMILIES.items() for name in names}
    rows = []
    for (name, severity), cell in result.outcomes.items():
        counts = (cell.images, cell.right, cell.accuracy)
        values = (name, severity, family_of.get(name, ""), *counts, *cell.interval, cell.ece)
        row: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
        if comparison is not None:
            paired = comparison.cells.get((name, severity))
            row |= {column: "" if paired is None else getattr(paired, column) for column in PAIRED}
        rows.append(row)
    return rows


def write_csv(path: str | Path, result: CorruptionResult, comparison: Comparison | None = None) -> None:
    """Write `cell_rows` as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS + (PAIRED if comparison else ()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(cell_rows(result, comparison))
    write_text(path, text.getvalue())
