"""The result file of a study: small JSON, to be kept beside the study file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from freqfast import __version__
from freqfast.files import write_text
from freqfast.records import plain, read_record
from freqfast.study.results import StudyResults
from freqfast.study.row import ResultRow
from freqfast.study.table import ArmSummary, summarise

_KEPT = ("mean15", "mean19", "mean_bar")  # of a report, even if not measured


@dataclass(frozen=True, kw_only=True)
class _ResultFile:
    """What `write_results` writes.

    Attributes:
        freqfast: The version that wrote it.
        title: The study's title.
        description: Its description.
        baseline: The arm that the others are compared to.
        table: The summary of each arm.
        runs: The rows.
        failures: Messages of failed runs, by the run's name.
        notes: What a reader of the table should know.
    """

    schema: Literal[1] = 1
    freqfast: str = __version__
    title: str = ""
    description: str = ""
    baseline: str = ""
    table: tuple[ArmSummary, ...] = ()
    runs: tuple[ResultRow, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def published_path(study_file: str | Path) -> Path:
    """The result file that is kept beside a study file.

    Args:
        study_file: Path of the study file.

    Examples:
        >>> published_path("low.toml").name
        'low.results.json'
    """
    return Path(study_file).with_suffix(".results.json")


def write_results(path: str | Path, results: StudyResults) -> None:
    """Write a result file, whole or not at all.

    Under ``runs`` it has each `ResultRow`; rows that the study leaves out come last. Each arm and each run has its own
    line, so that version control shows which are new.

    Args:
        path: The file.
        results: What to write.

    Raises:
        OSError: If the file cannot be written; a former file of that name stays.

    Examples:
        >>> from freqfast.study import Study
        >>> write_results("no/such/folder/results.json", StudyResults(Study("Nothing", "", "", ()), ()))
        Traceback (most recent call last):
        FileNotFoundError: folder no/such/folder does not exist; create it or choose another path
    """
    study = results.study
    content = _ResultFile(
        title=study.title,
        description=study.description,
        baseline=study.baseline,
        table=tuple(summarise(study, results.rows, results.failures)),
        runs=(*results.rows, *results.left_out),
        failures=results.failures,
        notes=results.notes,
    )
    values = plain(content)
    values["runs"] = [_short(run) for run in values["runs"]]
    write_text(
        path, "{\n" + ",\n".join(f" {json.dumps(key)}: {_lines(value)}" for key, value in values.items()) + "\n}\n"
    )


def _short(run: dict[str, Any]) -> dict[str, Any]:
    """A row without what is not measured and what tells of the machine's folders, and with its seed."""
    report = {key: value for key, value in run["report"].items() if value is not None or key in _KEPT}
    environment = {key: value for key, value in run["environment"].items() if key not in ("command", "start_path")}
    del environment["data"]["path"]
    seed = run["recipe"]["seed"]
    found = {"arm": run["arm"], "seed": seed, "recipe": run["recipe"], "report": report, "environment": environment}
    return found | ({"groups": run["groups"]} if run["groups"] else {})


def _lines(value: object) -> str:
    """JSON, the items of a list on lines of their own."""
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False)
    return "[\n  " + ",\n  ".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n ]"


def read_results(path: str | Path) -> tuple[ResultRow, ...]:
    """The rows of a result file.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a result file, or was written by a newer version; the message names file and key.

    Examples:
        >>> read_results("absent.results.json")
        Traceback (most recent call last):
        FileNotFoundError: absent.results.json does not exist
    """
    return read_record(path, _ResultFile, ignore_unknown=True).runs
