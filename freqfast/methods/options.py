"""How methods and callbacks declare their arguments: as annotated attributes of their class, which are checked."""

import inspect
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from pydantic import Field

from freqfast.records import check_fields

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


@typing.dataclass_transform(eq_default=False, field_specifiers=(field,))
@dataclass(eq=False, repr=False)
class Options:
    """Makes a dataclass of each subclass: its annotated attributes are its arguments, of these types and ranges.

    Numbers of NumPy and torch, and fastcore's L, are taken as Python's own. Signatures show the types without ranges.

    Examples:
        >>> class Repeat(Options):
        ...     times: Positive = 2
        >>> Repeat(0)
        Traceback (most recent call last):
        ValueError: times must be greater than or equal to 1, got 0
    """

    def __init_subclass__(cls) -> None:
        if inspect.get_annotations(cls):  # else a base may have a constructor of its own
            dataclass(eq=False, repr=False)(cls)
            cls.__init__.__annotations__ = typing.get_type_hints(cls.__init__) | {"return": None}

    def __post_init__(self) -> None:
        for each in fields(self):
            setattr(self, each.name, _plain(getattr(self, each.name)))
        check_fields(self)


def _plain(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, (str, tuple)):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") else value
