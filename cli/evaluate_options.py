"""The options of `freqfast evaluate`, and of the analyses, that belong together, and what is made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from freqfast.cli.options import given, refuse

if TYPE_CHECKING:
    from freqfast.models.classifier import Classifier
    from freqfast.models.sources import SourcedModel
    from freqfast.progress import Progress
    from freqfast.robustness import CellSource

__all__ = [
    "KINDS",
    "Classes",
    "Device",
    "ImageOptions",
    "Mean",
    "ModelOptions",
    "Precision",
    "Std",
    "Weights",
]

_MODEL = "Model"
KINDS = (
    "A run directory, our .safetensors, timm:NAME, torchvision:NAME, or package.module:callable (imported and called: "
    "it runs code, so name what you trust)."
)
Weights = Annotated[
    Path | None,
    typer.Option(help="State dict of a model that is not ours: .safetensors, .pth.", rich_help_panel=_MODEL),
]
Mean = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Its normalisation, for pixels in [0, 1].", rich_help_panel=_MODEL),
]
Std = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="Standard deviations, likewise.", rich_help_panel=_MODEL)
]
Classes = Annotated[int, typer.Option(min=1, help="Logits of a timm or torchvision model.", rich_help_panel=_MODEL)]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where to run, such as cpu or cuda:0; by default on a CUDA GPU if there is one.", rich_help_panel=_MODEL
    ),
]
Precision = Annotated[
    Literal["auto", "bfloat16", "float32"],
    typer.Option(help="auto: bfloat16 where the device computes it natively.", rich_help_panel=_MODEL),
]


class ImageOptions(NamedTuple):
    """The options that name the images."""

    cifar10c: Path | None
    download: bool
    on_the_fly: bool
    data: str | None
    which: str | None
    corruption: list[str] | None
    limit: int | None
    seed: int
    frost_dir: Path | None

    @property
    def chosen(self) -> Sequence[str] | None:
        """The corruptions that were asked for, by their names or by their set's; None for all that can be had."""
        from freqfast.corruptions import SETS

        return self.corruption or (SETS[self.which] if self.which else None)

    @property
    def names(self) -> Sequence[str]:
        """The corruptions that are made on the fly, if all can run."""
        from freqfast.corruptions import CORRUPTIONS

        return self.chosen or CORRUPTIONS

    def refuse(self, context: typer.Context) -> None:
        """Raise if they do not go together."""
        if len(named := given(context, {"cifar10c", "download", "on_the_fly"})) > 1:
            raise ValueError(f"the images come from one place, got {' and '.join(named)}")
        if not self.on_the_fly:
            refuse(context, "stored images have been corrupted already", {"seed", "frost_dir"})
        if self.which is not None:
            refuse(context, "--set names the corruptions", {"corruption"})

    def find(self, trained_on: str | None, progress: "Progress") -> tuple["CellSource", list[str]]:
        """The images, on the fly by default of the data that a model was trained on, and notes on what they lack."""
        from freqfast.corruptions import SETS
        from freqfast.robustness.sources import find_source, on_the_fly_source

        if self.on_the_fly:
            return on_the_fly_source(
                self.data or trained_on,
                self.corruption,
                self.limit,
                self.seed,
                only=self.names,
                frost_dir=self.frost_dir,
                progress=progress,
            )
        return find_source(
            self.cifar10c,
            self.corruption,
            self.limit,
            only=self.which and SETS[self.which],
            download=self.download,
            data=self.data,
            progress=progress,
        )


class ModelOptions(NamedTuple):
    """The options by which a model is read and run."""

    weights: Path | None
    mean: str | None
    std: str | None
    classes: int
    device: str | None
    precision: str

    def load(self, model: str) -> "SourcedModel":
        """The model that is named."""
        from freqfast.models.sources import load_model

        return load_model(model, self.weights, _triple("mean", self.mean), _triple("std", self.std), self.classes)

    def classifier(self, one: "SourcedModel") -> "Classifier":
        """A model, be it the baseline, made ready."""
        from freqfast.compute.precision import default_device
        from freqfast.models.classifier import Classifier

        device = self.device or default_device()
        return Classifier(one.model, one.mean, one.std, device, self.precision, name=one.name)


def _triple(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise ValueError(f"--{name} {text}: write three numbers such as 0.49,0.48,0.45")
    return values
