"""What an analysis is: a function, its result, a figure of results, and the words beside it."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo

from freqfast.records import Floats, Rows, as_html, check_fields, check_value, plain, read_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _check_fractions(array: Floats) -> Floats:
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"must lie in 0..1, got {array.min():g} to {array.max():g}")
    return array


Fractions = Annotated[Floats, AfterValidator(_check_fractions)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, description="Seed of the random numbers.")]
Layer = Annotated[str | None, Field(description="Name of the convolution; the first spatial one by default.")]


@dataclass(frozen=True, eq=False, kw_only=True)
class AnalysisResult:
    """What an analysis found in a model: a record that is written and read by `freqfast.records`.

    A subclass gives `analysis` its name as the default, and adds what was found. Accuracies, errors and shares are
    fractions.

    Attributes:
        schema: Version of the file's form.
        analysis: Name of the analysis.
        weights_sha256: Hash of the model's weights; None if it is not known, as in files of older versions.
        command: The shell command that made it; None if Python code did.

    Raises:
        ValueError: If a value has the wrong type or is out of range.

    Examples:
        >>> AnalysisResult(analysis="darkness", command="freqfast darkness runs/a").weights_sha256 is None
        True
    """

    definition: ClassVar["Analysis | None"] = None  # set by the `Analysis` whose result the class is

    schema: Literal[1] = 1
    analysis: str = ""
    weights_sha256: str | None = None
    command: str | None = None

    def __post_init__(self) -> None:
        """Check the fields, and convert lists to arrays where the annotations ask for arrays."""
        check_fields(self)

    def to_json(self) -> str:
        """The record as JSON text."""
        return json.dumps(plain(self), indent=2) + "\n"

    def _repr_html_(self) -> str | None:
        analysis = type(self).definition
        if analysis is None:
            return None
        parts: list[str | Rows] = []
        for part in analysis.summarise(self):
            parts += [part] if isinstance(part, str) else [part.title, [part.header, *part.rows]]
        return as_html(analysis.title, *parts)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageResult(AnalysisResult):
    """What an analysis found on images.

    Attributes:
        images: Number of images.
        data: Name of their data; None if it is not known, as in files of older versions.
        data_sha256: SHA-256 of all of that data, see `freqfast.data.images.data_hash`.

    Examples:
        >>> ImageResult(analysis="darkness", images=0)
        Traceback (most recent call last):
        ValueError: images must be greater than or equal to 1, got 0
    """

    images: Count
    data: str | None = None
    data_sha256: str | None = None


@dataclass(frozen=True)
class Table:
    """A table for a terminal: a title, names of columns, and rows with a text for each column.

    Examples:
        >>> Table("accuracy in percent", ("band", "accuracy"), [("low", "81.20")]).header
        ('band', 'accuracy')
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


Summary: TypeAlias = Sequence[str | Table]


@dataclass(frozen=True)
class Analysis:
    """An analysis of trained models. Its command, its file in a run and its figure on the report page come from this.

    A package registers one as an entry point of the group ``freqfast.analyses``, under the name of its results.

    Args:
        run: The function. It takes ``model``; or ``classifier``, ``images`` (uint8 ``(N, H, W, 3)``), ``labels``
            ``(N,)``, and ``progress``, which may be None. All are passed by name. A parameter besides these is an
            option of the command if its annotation has a pydantic ``Field`` with a description.
        result: Class of what the function returns.
        figure: Draws results by label, such as the runs' names. It also gets the bands of the runs' spectra, or None
            for two of equal area.
        title: Title of the figure.
        caption: What the figure shows and how to read it.
        describe: Gives the main numbers of a result, given its label, for the figure's text alternative.
        summarise: Gives lines and tables for a terminal.
        description: What the command's help says after its first line.
        precision: The classifier's precision by default.
        side_by_side: Whether several results stand side by side, so that the figure takes a page's whole width.

    Examples:
        >>> from freqfast.analysis import find_analysis
        >>> heatmap = find_analysis("heatmap")
        >>> heatmap.name, heatmap.needs_images, list(heatmap.options)
        ('heatmap', True, ['norm', 'seed', 'grid'])
    """

    run: Callable[..., Any]
    result: type[AnalysisResult]
    figure: "Callable[[Mapping[str, Any], Any], Figure]"
    title: str
    caption: str
    describe: Callable[[str, Any], str]
    summarise: Callable[[Any], Summary]
    description: str = ""
    precision: Literal["auto", "float32"] = "auto"
    side_by_side: bool = False

    def __post_init__(self) -> None:
        """Set the analysis as the `definition` of its results, so that they can show themselves."""
        self.result.definition = self

    @property
    def name(self) -> str:
        """Name of the analysis, of its command and of its file in a run."""
        return self.result.analysis

    @property
    def needs_images(self) -> bool:
        """Whether the function takes images and their labels."""
        return "images" in inspect.signature(self.run).parameters

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The function's parameters that are options of the command."""
        parameters = inspect.signature(self.run, eval_str=True).parameters
        return {name: parameter for name, parameter in parameters.items() if _is_described(parameter.annotation)}

    def check_options(self, values: Mapping[str, Any]) -> None:
        """Check values for options against the function's annotations; a ValueError names one that does not fit."""
        for name, parameter in self.options.items():
            check_value(name, values[name], parameter.annotation)

    def read(self, path: str | Path) -> AnalysisResult:
        """Read a result from its file, ``analysis/<name>.json`` in a run directory.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not a result of this analysis, or corrupt; the message names the file and the key.
        """
        return read_record(path, self.result)


def _is_described(annotation: Any) -> bool:
    return any(isinstance(item, FieldInfo) and item.description for item in get_args(annotation)[1:])


def check_shapes(record: AnalysisResult, shape: tuple[int, ...], *names: str) -> None:
    """Raise a ValueError for the first of a record's arrays that has another shape."""
    for name in names:
        found = getattr(record, name).shape
        if found != shape:
            raise ValueError(f"{name} must have shape {shape}, got {found}")
