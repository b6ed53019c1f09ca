"""Accuracy under corruption: model and corrupted images in, a report out.

Data flows one way. `sources` finds what a user names and makes a `CellSource` of it (`stored`: a folder; `cells`: a
test set corrupted on the fly). `evaluation` takes its cells one by one through a `Classifier` and keeps `Outcomes` of
each, in integers, with the `Provenance` of all. A `CorruptionResult` holds these, computes what follows from them
(`metrics`), is saved and loaded (`storage`) and merged. `comparison` and `rows` are made of reports.

>>> from freqfast.robustness.metrics import wilson_interval
>>> low, high = wilson_interval(right=90, total=100)
>>> round(low, 3), round(high, 3)
(0.826, 0.945)
"""

from freqfast.robustness.cells import Cell, CellSource, corrupted_source
from freqfast.robustness.comparison import Comparison, compare
from freqfast.robustness.evaluation import evaluate_cells, evaluate_source
from freqfast.robustness.keys import CLEAN
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.provenance import Provenance
from freqfast.robustness.result import CorruptionResult

__all__ = [
    "CLEAN",
    "Cell",
    "CellSource",
    "Comparison",
    "CorruptionResult",
    "Outcomes",
    "Provenance",
    "compare",
    "corrupted_source",
    "evaluate_cells",
    "evaluate_source",
]
