"""How callbacks declare their arguments: as annotated attributes of their class, which are checked; without fastai."""

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, TypeVar

from pydantic import Field

from freqfast.records import check_fields, check_value

T = TypeVar("T")
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


def build_callback(name: str, kind: type[T], options: Mapping[str, Any]) -> T:
    """Make a callback from its class and the keyword arguments under its name in a recipe.

    A ValueError is raised if an argument is unknown, a value has the wrong type, or the class raises any exception.

    Examples:
        >>> from freqfast.callbacks import SpectralModulation
        >>> build_callback("spectral_modulation", SpectralModulation, {"sigma": -1})
        Traceback (most recent call last):
        ValueError: spectral_modulation: sigma must be greater than or equal to 0, got -1.0
    """
    parameters = inspect.signature(kind).parameters
    try:
        hints = typing.get_type_hints(kind.__init__)  # type: ignore[misc]
    except Exception:  # such as of a name that is imported for type checkers alone
        hints = {}
    for key in options:
        if key not in parameters:
            raise ValueError(f"{name} has no argument {key!r}; its arguments are {', '.join(parameters)}")
    values = {key: check_value(f"{name}.{key}", value, hints.get(key, Any)) for key, value in options.items()}
    try:
        return kind(**values)
    except Exception as error:
        raise ValueError(f"{name}: {str(error) or type(error).__name__}") from None
