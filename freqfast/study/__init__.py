"""Studies: several recipes (arms) under several seeds, compared in one table.

`load_study` reads the study file, `run_study` carries out its runs. `gather` reads the rows of finished runs from the
study's folder, and `merge` adds the rows of a result file (`read_results`, `write_results`). `summarise` makes a
summary of each arm, and `tables` makes tables of text from these.

A study's folder holds

- ``runs/<arm>/seed-<n>``: the run directories, see `freqfast.runs.directory`; beside a run that failed,
  ``seed-<n>.error``;
- ``results.json``: see `write_results`;
- ``figures``: the figures that `freqfast.report` draws;
- ``jobs``: submitit's files of the jobs, including their logs, if they ran on a cluster.
"""

from freqfast.study.definition import Arm, Study, load_study
from freqfast.study.result_file import published_path, read_results, write_results
from freqfast.study.results import StudyResults, gather, merge
from freqfast.study.row import ResultRow
from freqfast.study.running import run_study
from freqfast.study.statistics import Estimate, Sample, difference, estimate
from freqfast.study.table import ArmSummary, legend, results_table, summarise, tables

__all__ = [
    "Arm",
    "ArmSummary",
    "Estimate",
    "ResultRow",
    "Sample",
    "Study",
    "StudyResults",
    "difference",
    "estimate",
    "gather",
    "legend",
    "load_study",
    "merge",
    "published_path",
    "read_results",
    "results_table",
    "run_study",
    "summarise",
    "tables",
    "write_results",
]
