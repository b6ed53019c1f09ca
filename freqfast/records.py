"""Typed records: dataclasses written as TOML or JSON, and read back checked key by key.

Whatever freqfast keeps as text is a dataclass that this module reads and writes: recipes, studies, environments,
reports, evaluations, manifests, analyses, result files, and the headers of model files and checkpoints. pydantic checks
the values: it understands nearly every annotation, also those of other packages' callbacks, and comes with fastai.

`as_html` makes what a notebook shows of such records.

Numbers, text and truth values are taken as they are: no text counts as a number, no number as text, and an integer
passes as a float. A list in a file may become a tuple, and text a `Path`: TOML and JSON have neither.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Point:
...     x: float
...     y: float = 0.0
>>> record_from({"x": 1}, Point)
Point(x=1.0, y=0.0)
>>> record_from({"x": "1"}, Point, where="point.json")
Traceback (most recent call last):
ValueError: point.json: x must be a valid number, got '1'
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, PlainSerializer, PlainValidator, PydanticUserError, TypeAdapter, ValidationError

from freqfast.files import read_file, write_text

MAX_BYTES = 2**24
"""The largest file that is read as a record, unless its reader says otherwise: 16 MiB."""

T = TypeVar("T")
Rows: TypeAlias = Sequence[Sequence[object]]


def read_record(path: str | Path, kind: type[T], *, max_bytes: int = MAX_BYTES, ignore_unknown: bool = False) -> T:
    """Read a record from a ``.toml`` file, or from a JSON file of any other name.

    Args:
        path: The file.
        kind: A dataclass. If it has a field ``schema``, the file must have that field's default value.
        max_bytes: A larger file is refused before it is read.
        ignore_unknown: Ignore keys that the dataclass does not have: newer versions may write them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no regular file, too large, neither TOML nor JSON, or a value does not fit; the message
            names the file and the key.
    """
    content = read_file(path, max_bytes)
    values = toml_values(content, path) if Path(path).suffix == ".toml" else _from_json(content, path)
    return record_from(values, kind, str(path), ignore_unknown=ignore_unknown)


def write_record(path: str | Path, record: Any) -> None:
    """Write a record as TOML if the name ends in ``.toml``, else as JSON; whole or not at all."""
    values = plain(record)
    write_text(path, tomli_w.dumps(values) if Path(path).suffix == ".toml" else json.dumps(values, indent=2) + "\n")


def record_from(values: Any, kind: type[T], where: str = "", *, ignore_unknown: bool = False) -> T:
    """A record from values that were read from TOML or JSON; see `read_record`.

    `where` is what messages call their source, such as the file's name.

    Raises:
        ValueError: If a key is missing or unknown, or a value does not fit; the message names it.
    """
    before = f"{where}: " if where else ""
    if not isinstance(values, Mapping):
        raise ValueError(f"{before}it must hold a table of keys, got {_short(values)}")
    schema = next((f.default for f in fields(kind) if f.name == "schema"), None)  # type: ignore[arg-type]
    if schema is not None and values.get("schema") != schema:
        raise ValueError(
            f"{before}schema {_short(values.get('schema'))} is not the one that this version reads ({schema!r})"
        )
    try:
        return _validated(kind, values, extra="ignore" if ignore_unknown else "forbid")
    except ValueError as error:
        raise ValueError(f"{before}{error}") from None


def record_from_json(text: str, kind: type[T]) -> T:
    """A record from JSON text, such as the header of another file; see `record_from`."""
    return record_from(_from_json(text, "the text"), kind)


def record_to_json(record: Any) -> str:
    """A record as JSON on one line, which `record_from_json` reads back."""
    return json.dumps(plain(record))


def plain(record: Any) -> Any:
    """A record as JSON values: tables, lists, numbers, text, truth values and None."""
    kind: Any = type(record)
    return _writer(kind).dump_python((record,), mode="json", by_alias=True, warnings="error")[0]


def check_value(name: str, value: Any, annotation: Any) -> Any:
    """Check a recipe's value for an argument, and make a list a tuple or text a path if the annotation asks for one.

    A ValueError says if it does not fit. If pydantic cannot check the annotation, the value is returned as it is.
    """
    try:
        return _validated(annotation, value)
    except (PydanticUserError, NameError, TypeError):  # an annotation for type checkers only
        return value
    except ValueError as error:
        text = str(error)
        raise ValueError(f"{name} {text}" if text.startswith("must ") else f"{name}.{text}") from None


def check_fields(record: Any) -> None:
    """Check a frozen dataclass's values against its annotations, and convert them, such as an integer to a float.

    It is for the ``__post_init__`` of records that Python code makes too. A ValueError names the first field that does
    not fit.
    """
    hints = get_type_hints(type(record), include_extras=True)  # a module may keep its annotations as text
    for field in fields(record):
        annotation = hints[field.name]
        try:
            value = _adapter(annotation).validate_python(getattr(record, field.name), strict=True)
        except ValidationError as error:
            raise ValueError(_told(error, annotation, (field.name,))) from None
        object.__setattr__(record, field.name, value)


def toml_values(content: bytes, where: str | Path) -> dict[str, Any]:
    """The values of TOML text in UTF-8; `where` is what messages call it, such as the file's name."""
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # also text that is no UTF-8, numbers too long, tables too deep
        raise ValueError(f"{where} is not valid TOML: {error}") from None


def differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The entries in which two records, or tables of values, differ.

    Yields:
        The dotted key with both values, None where there is no such entry.
    """
    old, new = (plain(side) if is_dataclass(side) else side for side in (old, new))
    for key in dict.fromkeys((*old, *new)):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b, f"{prefix}{key}.")
        elif a != b:
            yield prefix + key, a, b


def _from_json(content: str | bytes, where: str | Path) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not valid JSON: {error}") from None


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    is_record = isinstance(annotation, type) and is_dataclass(annotation)
    return TypeAdapter(annotation, config=None if is_record else ConfigDict(arbitrary_types_allowed=True))


@lru_cache(maxsize=256)
def _writer(kind: Any) -> TypeAdapter[Any]:
    # Infinities and NaN stay as they are. pydantic takes this setting for a tuple, but not for a dataclass itself.
    return TypeAdapter(tuple[kind], config=ConfigDict(ser_json_inf_nan="constants"))


def _validated(annotation: Any, values: Any, extra: Any = None) -> Any:
    """Values converted to the annotation's types as from JSON: a list may become a tuple, but text no number."""
    try:
        text = json.dumps(values, default=os.fspath)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it holds a value that JSON cannot hold ({error})") from None
    try:
        return _adapter(annotation).validate_json(text, strict=True, extra=extra)
    except ValidationError as error:
        raise ValueError(_told(error, annotation)) from None


_LABELS = ("[key]", "str", "float")  # pydantic's own, in the place of a fault: a mapping's key, and kinds of a union


def _told(error: ValidationError, annotation: Any, place: tuple[str, ...] = ()) -> str:
    """The first fault that pydantic found, or an unknown key, as one line."""
    faults = error.errors(include_url=False)  # a key that is misspelt before that which is missing
    fault = next((fault for fault in faults if fault["type"] == "unexpected_keyword_argument"), faults[0])
    key = ".".join(str(part) for part in (*place, *fault["loc"]) if part not in _LABELS)
    if fault["type"] == "missing" and isinstance(fault["loc"][-1], str):
        return f"{key} is missing"
    if fault["type"] == "missing":
        return f"{key.rpartition('.')[0]} must have more items, got {_short(fault['input'])}".strip()
    if fault["type"] == "too_short":
        least = fault["ctx"]["min_length"]
        return f"{key} must have at least {least} item{'s' * (least > 1)}, got {_short(fault['input'])}"
    if fault["type"] == "unexpected_keyword_argument":
        known = (f.name for f in fields(_record_at(annotation, fault["loc"][:-1])))
        return f"unknown key {key!r}; the keys are {', '.join(known)}"
    if fault["type"] == "value_error":  # raised by a record itself
        inside = ".".join(key.split(".")[len(place) :])
        return f"{inside}: {fault['ctx']['error']}" if inside else str(fault["ctx"]["error"])
    text = fault["msg"].replace("Input should be", "must be")
    return f"{key} {text}, got {_short(fault['input'])}".strip()


def _record_at(annotation: Any, place: Sequence[str | int]) -> Any:
    """The dataclass at a place in an annotation, such as ``("arms", "low")``; of a union it takes the first kind."""
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind in (Annotated, Union, UnionType):
        return _record_at(inner[0], place)
    if not place:
        return annotation
    if is_dataclass(annotation):
        return _record_at(get_type_hints(annotation, include_extras=True)[str(place[0])], place[1:])
    return _record_at(inner[-1] if issubclass(kind, Mapping) else inner[0], place[1:])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _to_floats(value: Any) -> NDArray[np.float64]:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"must hold numbers, got {_short(value)}")
    return array.astype(np.float64)


def _to_integers(value: Any) -> NDArray[np.int64]:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"must hold integers, got {_short(value)}")
    return array.astype(np.int64)


_as_list = PlainSerializer(lambda array: array.tolist())

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number that is not negative."""

Floats = Annotated[NDArray[np.float64], PlainValidator(_to_floats), _as_list]
"""An array of numbers of any shape, nested lists in a file."""

Integers = Annotated[NDArray[np.int64], PlainValidator(_to_integers), _as_list]
"""An array of integers of any shape, nested lists in a file."""


def as_html(title: str, *parts: str | Rows) -> str:
    """A title with lines and tables below it, escaped, for an object's ``_repr_html_``.

    Args:
        title: The heading.
        parts: Text for a line, or the rows of a table, the first of which is its header.

    Examples:
        >>> as_html("a < b", "b > a", [("band",), ("<low>",)])
        '<p><b>a &lt; b</b></p><p>b &gt; a</p><table><tr><th>band</th></tr><tr><td>&lt;low&gt;</td></tr></table>'
    """
    shown = [f"<p>{escape(part)}</p>" if isinstance(part, str) else _table(part) for part in parts]
    return "".join([f"<p><b>{escape(title)}</b></p>", *shown])


def _table(rows: Rows) -> str:
    lines = []
    for row, tag in zip(rows, ["th", *["td"] * len(rows)], strict=False):
        lines.append("".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in row))
    return "".join(["<table>", *(f"<tr>{line}</tr>" for line in lines), "</table>"])
