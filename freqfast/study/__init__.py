"""Studies: arms by seeds to runs, and runs to one table.

A study's folder holds

- ``runs/<arm>/seed-<n>``: the run directories, see `freqfast.runs.directory`, with ``bar.json`` where the study asks
  for it, see `freqfast.study.bar`; beside one that failed, ``seed-<n>.error``;
- ``results.json``: see `write_results`;
- ``figures``: what `freqfast.report` draws of it;
- ``jobs``: what submitit keeps of the jobs, their logs too, where they ran on a cluster.
"""

from freqfast.study.definition import Arm, PlannedRun, Study, load_study
from freqfast.study.result_file import published_path, read_results, write_results
from freqfast.study.results import ResultRow, StudyResults, gather, merge
from freqfast.study.running import pending_runs, run_study
from freqfast.study.statistics import Estimate, estimate, paired_difference
from freqfast.study.table import ArmSummary, results_table, summarise, tables

__all__ = [
    "Arm",
    "ArmSummary",
    "Estimate",
    "PlannedRun",
    "ResultRow",
    "Study",
    "StudyResults",
    "estimate",
    "gather",
    "load_study",
    "merge",
    "paired_difference",
    "pending_runs",
    "published_path",
    "read_results",
    "results_table",
    "run_study",
    "summarise",
    "tables",
    "write_results",
]
