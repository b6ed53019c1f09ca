"""Result files: outcomes by cell and their provenance, as JSON.

``{"schema": "freqfast-evaluation-1", "freqfast": version, "provenance": {...} | null, "clean": fraction | null,
"outcomes": {corruption: {severity: {"images", "correct": base64 of packed bits, "bins": [[images, right,
confidence in units of 2**-24], ...], "images_crc32"}}}}``; see `Outcomes` and `Provenance` for what each means.
"""

import base64
import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from freqfast._version import __version__
from freqfast.files import write_text
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.provenance import Key, Provenance
from freqfast.robustness.report import CorruptionReport

__all__ = ["SCHEMA", "load_report", "save_report"]

SCHEMA = "freqfast-evaluation-1"


def save_report(path: str | Path, report: CorruptionReport) -> None:
    """Write a report's outcomes and provenance, whole or not at all.

    Raises:
        OSError: If the file cannot be written; a former file of that name stays.
    """
    outcomes: dict[str, dict[str, Any]] = {}
    for (name, severity), cell in report.outcomes.items():
        outcomes.setdefault(name, {})[str(severity)] = {
            "images": cell.images,
            "correct": base64.b64encode(cell.correct_bits).decode(),
            "bins": cell.bins,
            "images_crc32": cell.images_crc32,
        }
    content = {
        "schema": SCHEMA,
        "freqfast": __version__,
        "provenance": report.provenance and asdict(report.provenance),
        "clean": report.clean,
        "outcomes": outcomes,
    }
    write_text(path, json.dumps(content) + "\n")


def load_report(path: str | Path) -> CorruptionReport:
    """Read a result file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no result file, or its numbers contradict each other.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; name a result that `freqfast evaluate --out` wrote")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r} is not {SCHEMA!r}")
        return _parse(content)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is not a sound result of freqfast evaluate ({type(error).__name__}: {reason})"
        ) from None


def _parse(content: dict[str, Any]) -> CorruptionReport:
    """A report from JSON values; raises one of many exceptions if it is none."""
    outcomes: dict[Key, Outcomes] = {}
    for name, by in content["outcomes"].items():
        for severity, cell in by.items():
            outcomes[name, int(severity)] = Outcomes(
                _integer(cell["images"]),
                base64.b64decode(cell["correct"], validate=True),
                tuple((_integer(a), _integer(b), _integer(c)) for a, b, c in cell["bins"]),
                _integer(cell["images_crc32"]),
            )
    clean = content["clean"]
    if clean is not None and not (isinstance(clean, (int, float)) and math.isfinite(clean)):
        raise ValueError(f"clean is {clean!r}")
    stored = content["provenance"]
    return CorruptionReport(outcomes, clean, None if stored is None else _provenance(stored))


def _provenance(stored: dict[str, Any]) -> Provenance:
    values = {field.name: stored[field.name] for field in fields(Provenance)}
    for name in ("mean", "std"):
        values[name] = tuple(float(value) for value in values[name])
    first, last = values["image_range"]
    values["image_range"] = (_integer(first), _integer(last))
    values["cells"] = tuple((str(name), _integer(severity)) for name, severity in values["cells"])
    for name in ("model", "weights_sha256", "precision", "source", "labels_sha256"):
        if not isinstance(values[name], str):
            raise ValueError(f"{name} is {values[name]!r}")
    return Provenance(**values)


def _integer(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is no count")
    return value
