"""The result file of a study: small JSON, to be kept beside the study file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from freqfast._version import __version__
from freqfast.files import write_text
from freqfast.records import plain, record_from
from freqfast.runs.environment import Environment
from freqfast.runs.recipe import Recipe
from freqfast.runs.report import RunReport
from freqfast.study.results import ResultRow, StudyResults
from freqfast.study.table import summarise

__all__ = ["published_path", "read_results", "write_results"]

SCHEMA = 1
_KEPT = ("mean15", "mean19", "mean_bar")  # of a report, even if not measured


def published_path(study_file: str | Path) -> Path:
    """The result file that is kept beside a study file: ``low.toml`` has ``low.results.json``."""
    return Path(study_file).with_suffix(".results.json")


def write_results(path: str | Path, results: StudyResults) -> None:
    """Write a result file, whole or not at all.

    Its layout::

        {"schema": 1, "freqfast": version, "title": ..., "description": ..., "baseline": arm,
         "table": [{"arm", "description", "seeds", "means": {measure: {"mean", "half_width", "n"}}, "differences",
                    "relative_time", "failed"}],
         "runs": [{"arm", "seed", "recipe", "report", "environment"}],
         "failures": {run: error}, "notes": [...]}

    Accuracies are fractions. Arms and runs have a line each, so that a version control's differences show what is new.
    Runs that the study leaves out are kept after the others. See `ResultRow` for a run's ``report`` and
    ``environment``.
    """
    study = results.study
    content = {
        "schema": SCHEMA,
        "freqfast": __version__,
        "title": study.title,
        "description": study.description,
        "baseline": study.baseline,
        "table": [asdict(summary) for summary in summarise(study, results.rows, results.failures)],
        "runs": [_plain(row) for row in (*results.rows, *results.left_out)],
        "failures": dict(results.failures),
        "notes": list(results.notes),
    }
    write_text(
        path, "{\n" + ",\n".join(f" {json.dumps(key)}: {_lines(value)}" for key, value in content.items()) + "\n}\n"
    )


def _plain(row: ResultRow) -> dict[str, Any]:
    values = plain(row)
    values["report"] = {key: value for key, value in values["report"].items() if value is not None or key in _KEPT}
    del values["environment"]["data"]["path"], values["environment"]["command"]
    return {"arm": row.arm, "seed": row.seed} | values


def _lines(value: object) -> str:
    """JSON, the items of a list on lines of their own."""
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False)
    return "[\n  " + ",\n  ".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n ]"


def read_results(path: str | Path) -> tuple[ResultRow, ...]:
    """The rows of a result file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, or a newer version's.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] > SCHEMA:
            raise ValueError(f"its schema {content['schema']} is newer than this version reads ({SCHEMA})")
        rows = tuple(
            ResultRow(
                str(row["arm"]),
                Recipe.from_values(row["recipe"]),
                record_from(row["report"], RunReport, "report", ignore_unknown=True),
                record_from(row["environment"], Environment, "environment", ignore_unknown=True),
            )
            for row in content["runs"]
        )
    except KeyError as error:
        raise ValueError(f"{path} is no result file of a study: it lacks {error}") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no result file of a study: {error}") from None
    return rows
