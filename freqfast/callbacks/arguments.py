"""What each callback takes: names, types, defaults and ranges of its arguments.

Each callback inherits its constructor from here, and its docstring says what the arguments mean. This module imports
neither torch nor fastai, so that `check_callbacks` refuses a recipe's wrong settings before these are loaded.
"""

import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field

from freqfast.records import check_fields, check_value

T = TypeVar("T")


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy and torch, and lists of fastcore (L), as Python's own."""
    if isinstance(value, Sequence) and not isinstance(value, (str, tuple)):
        return list(value)
    return value.tolist() if hasattr(value, "tolist") else value


_unwrap = BeforeValidator(_plain)
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False), _unwrap]
Positive = Annotated[int, Field(ge=1), _unwrap]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), _unwrap]
Purity = Annotated[float, Field(gt=0.5, lt=1), _unwrap]  # the kernel's size sets a limit below 1

Bands: TypeAlias = Any  # what `Bands.of` takes, and the callbacks check by it, since it needs torch
ChannelValues: TypeAlias = Annotated[Sequence[Annotated[float, Field(allow_inf_nan=False)]] | None, _unwrap]


@typing.dataclass_transform(field_specifiers=(field,))
def _arguments(kind: type[T]) -> type[T]:
    """A dataclass whose signature shows plain types; the fields keep the ranges."""
    made = dataclass(eq=False, repr=False)(kind)
    made.__init__.__annotations__ = typing.get_type_hints(made.__init__) | {"return": None}  # type: ignore[misc]
    return made


@_arguments
class _Arguments:
    def __post_init__(self) -> None:
        check_fields(self)


@_arguments
class AntialiasingArguments(_Arguments):
    layers: Annotated[str | Sequence[str] | None, _unwrap] = None
    kind: Literal["triangle", "flc"] = "triangle"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers is not None and not self.layers:
            raise ValueError("layers names no layer; leave it out for every strided convolution")


@_arguments
class BatchNormEstimationArguments(_Arguments):
    batches: Positive = 100


@_arguments
class BatchNormFreezeArguments(_Arguments):
    pass


@_arguments
class FrequencyProportionArguments(_Arguments):
    proportions: Mapping[str, float]
    bands: Bands = None
    purity: Purity | None = None
    layer: str | None = None
    preserve_norm: bool = True
    rank: Positive | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.purity is not None and self.rank is not None:
            raise ValueError(f"purity and rank exclude each other, got {self.purity} and {self.rank}; pass one of them")


@_arguments
class SpectralDecayArguments(_Arguments):
    strength: Amount = 0.01
    band: str = "low"
    bands: Bands = None
    layer: str | None = None


@_arguments
class SpectralModulationArguments(_Arguments):
    per_filter: bool = True
    sigma: Amount = 0.5
    layer: str | None = None
    seed: Annotated[int | None, _unwrap] = None
    keep_power: bool = False


@_arguments
class SpectrumEqualizationArguments(_Arguments):
    bins: Positive = 12
    exponent: Annotated[float, Field(ge=0, le=1), _unwrap] = 1.0
    layer: str | None = None


@_arguments
class SpectrumRecorderArguments(_Arguments):
    bands: Bands = None
    n: Positive = 32  # as in `freqfast.spectral.spectrum`
    layer: str | None = None


@_arguments
class PixelArguments(_Arguments):
    """Arguments of all callbacks that change pixels."""

    share: Share
    mean: ChannelValues = field(default=None, kw_only=True)
    std: ChannelValues = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together; pass both or neither")
        if self.std is not None and not min(self.std, default=0) > 0:
            raise ValueError(f"std must be greater than 0, got {self.std}")


@_arguments
class AugMixArguments(PixelArguments):
    share: Share = 1.0
    severity: Annotated[int, Field(ge=1, le=10), _unwrap] = 3
    jsd: Amount = 0.0


@_arguments
class FourierBasisAugmentationArguments(PixelArguments):
    share: Share = 1.0
    strength: Amount = 10.0
    clean_too: bool = True


@_arguments
class GaussianNoiseArguments(PixelArguments):
    share: Share = 0.5
    sigma: Amount = 0.1


@_arguments
class SpectrumPerturbationArguments(PixelArguments):
    share: Share = 0.25
    gain: Amount = 0.0
    tilt: Amount = 2.0
    shaping: Amount = 1.0
    jitter: Amount = 0.0
    noise: Amount = 0.08


@_arguments
class AmplitudePhaseRecombinationArguments(PixelArguments):
    share: Share = 0.6
    pair: bool = True
    single: bool = False
    clean_too: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.pair or self.single):
            raise ValueError("pair and single are both off, so nothing would be recombined; switch one on")


@_arguments
class HybridAugmentArguments(AmplitudePhaseRecombinationArguments):
    plus: bool = False
    sigma: Annotated[float | Sequence[float], _unwrap] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sigmas) != 2 or not 0 < self.sigmas[0] <= self.sigmas[1] < float("inf"):
            raise ValueError(f"sigma must be a positive number of pixels, or two in increasing order, got {self.sigma}")

    @property
    def sigmas(self) -> Sequence[float]:
        """The smallest and the largest sigma."""
        return self.sigma if isinstance(self.sigma, Sequence) else (self.sigma, self.sigma)


def check_callbacks(callbacks: Mapping[str, Mapping[str, Any]], registered: Mapping[str, EntryPoint]) -> None:
    """Check a recipe's callbacks, a mapping of keyword arguments by name, without importing any of them.

    A ValueError is raised if one is not registered as an entry point. The arguments of those in this module are checked
    as well, as `build_callback` does.

    Examples:
        >>> from freqfast.plugins import find_plugins
        >>> check_callbacks({"spectral_modulation": {"sigma": -1}}, find_plugins("callbacks"))
        Traceback (most recent call last):
        ValueError: spectral_modulation: sigma must be greater than or equal to 0, got -1.0
    """
    for name, options in callbacks.items():
        if name not in registered:
            raise ValueError(f"unknown callback {name!r}; the callbacks are {', '.join(registered)}")
        kind = globals().get(f"{registered[name].attr}Arguments")
        if kind is not None and registered[name].module == "freqfast.callbacks":
            build_callback(name, kind, options)


def build_callback(name: str, kind: type[T], options: Mapping[str, Any]) -> T:
    """Make a callback, or its arguments, from its class and the keyword arguments under its name in a recipe.

    A ValueError is raised if an argument is unknown, a value has the wrong type, or the class raises any exception.
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
