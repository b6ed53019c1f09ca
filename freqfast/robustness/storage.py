"""Result files: outcomes by cell and their provenance, as JSON.

``{"schema": "freqfast-evaluation-1", "freqfast": version, "provenance": {...} | null,
"outcomes": {corruption: {severity: {"images", "correct": base64 of packed bits, "bins": [[images, right,
confidence in units of 2**-24], ...], "images_crc32"}}}}``; see `Outcomes` and `Provenance` for what each means.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from freqfast._version import __version__
from freqfast.corruptions import SEVERITIES
from freqfast.files import write_text
from freqfast.robustness.keys import CLEAN, Key
from freqfast.robustness.outcomes import Outcomes
from freqfast.robustness.provenance import Provenance

__all__ = ["SCHEMA", "read_outcomes", "write_outcomes"]

SCHEMA = "freqfast-evaluation-1"


def write_outcomes(path: str | Path, outcomes: Mapping[Key, Outcomes], provenance: Provenance | None) -> None:
    """Write outcomes by cell and what was evaluated, whole or not at all.

    Raises:
        OSError: If the file cannot be written; a former file of that name stays.
    """
    by_name: dict[str, dict[str, Any]] = {}
    for (name, severity), cell in outcomes.items():
        by_name.setdefault(name, {})[str(severity)] = {
            "images": cell.images,
            "correct": base64.b64encode(cell.correct_bits).decode(),
            "bins": cell.bins,
            "images_crc32": cell.images_crc32,
        }
    content = {
        "schema": SCHEMA,
        "freqfast": __version__,
        "provenance": provenance and asdict(provenance),
        "outcomes": by_name,
    }
    write_text(path, json.dumps(content) + "\n")


def read_outcomes(path: str | Path) -> tuple[dict[Key, Outcomes], Provenance | None]:
    """Read the outcomes and the provenance in a result file.

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


def _parse(content: dict[str, Any]) -> tuple[dict[Key, Outcomes], Provenance | None]:
    """Outcomes and provenance from JSON values; raises one of many exceptions if they are none."""
    outcomes: dict[Key, Outcomes] = {}
    for name, by in content["outcomes"].items():
        for severity, cell in by.items():
            key = _key(name, int(severity))
            outcomes[key] = Outcomes(
                _integer(cell["images"]),
                base64.b64decode(cell["correct"], validate=True),
                tuple((_integer(a), _integer(b), _integer(c)) for a, b, c in cell["bins"]),
                _integer(cell["images_crc32"]),
            )
    stored = content["provenance"]
    return outcomes, None if stored is None else _provenance(stored)


def _provenance(stored: dict[str, Any]) -> Provenance:
    values = {field.name: stored[field.name] for field in fields(Provenance)}
    for name in ("mean", "std"):
        values[name] = tuple(float(value) for value in values[name])
    first, last = values["image_range"]
    values["image_range"] = (_integer(first), _integer(last))
    values["cells"] = tuple(_key(name, _integer(severity)) for name, severity in values["cells"])
    for name in ("model", "weights_sha256", "precision", "source", "labels_sha256"):
        if not isinstance(values[name], str):
            raise ValueError(f"{name} is {values[name]!r}")
    return Provenance(**values)


def _key(name: str, severity: int) -> Key:
    if not name.isprintable() or ((name, severity) != CLEAN and severity not in SEVERITIES):
        raise ValueError(f"{name!r:.40} {severity} is no corruption and severity")
    return name, severity


def _integer(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is no count")
    return value
