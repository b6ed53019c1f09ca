"""Options that several commands have, and options that do not go together."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from freqfast.cli.files import check_exists
from freqfast.cli.output import command_text

from freqfast.models import SOURCES

if TYPE_CHECKING:
    from freqfast.models.classifier import Classifier
    from freqfast.models.network import Network

KINDS = f"{SOURCES[0].upper()}{SOURCES[1:]} (imported and called: it runs code, so name what you trust)."
Collection = Literal["c", "bar"]
_model_option = partial(typer.Option, rich_help_panel="Model")
Weights = Annotated[
    Path | None, _model_option(metavar="PATH", help="State dict of a network of yours: .safetensors, .pth, .th.")
]
Pretrained = Annotated[
    bool, _model_option("--pretrained", help="Use the official weights of timm or torchvision, which download them.")
]
Mean = Annotated[
    str | None, _model_option(metavar="R,G,B", help="Means of the model's normalisation, for pixels in [0, 1].")
]
Std = Annotated[str | None, _model_option(metavar="R,G,B", help="Its standard deviations, likewise.")]
Device = Annotated[
    str | None,
    _model_option(
        metavar="NAME", help="Where to run, such as cpu or cuda:0; by default on a CUDA GPU if there is one."
    ),
]
Precision = Annotated[
    Literal["auto", "bfloat16", "float32"],
    _model_option(metavar="auto|bfloat16|float32", help="auto: bfloat16 where the device computes it natively."),
]


class ModelOptions(NamedTuple):
    """The options by which a model is read and run."""

    weights: Path | None
    pretrained: bool
    mean: str | None
    std: str | None
    device: str | None = None
    precision: str = "float32"

    def load(self, model: str, sees_images: bool = True) -> "Network":
        """The network that is named."""
        from freqfast.models.network import IncompleteNetworkError
        from freqfast.models.sources import load_network

        mean, std = _triple("mean", self.mean), _triple("std", self.std)
        try:
            return load_network(
                model, weights=self.weights, mean=mean, std=std, pretrained=self.pretrained, sees_images=sees_images
            )
        except IncompleteNetworkError as error:
            ways = " ".join(_WAYS[field] for field in error.missing)
            raise ValueError(f"{error.name} lacks {', '.join(error.missing)}; add {ways}") from None

    def classifier(self, network: "Network") -> "Classifier":
        """A network, the baseline too, ready to classify images."""
        from freqfast.compute.precision import default_device
        from freqfast.models.classifier import Classifier

        return Classifier(network, self.device or default_device(), self.precision)


_WAYS = {"weights": "--weights FILE or --pretrained", "mean": "--mean R,G,B", "std": "--std R,G,B"}


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


def given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """The options of these parameters that were given, be it with their default value, in the order of the help."""
    sources = {name: context.get_parameter_source(name) for name in names}
    found = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    return [parameter.opts[0] for parameter in context.command.params if parameter.name in found]


def refuse(context: typer.Context, reason: str, names: Iterable[str]) -> None:
    """Raise a ValueError if any of these parameters was given."""
    if found := given(context, names):
        raise ValueError(f"{reason}; leave out {', '.join(found)}")


def check_model(*models: str) -> None:
    """Refuse a model that is not there."""
    from freqfast.models.zoo import PREFIX, network_path
    from freqfast.runs.directory import RunDirectory

    for model in models:
        if model.startswith(PREFIX) and not Path(model).exists():
            network_path(model.removeprefix(PREFIX))
        if ":" not in model:
            check_exists(model, SOURCES)
            if (run := RunDirectory(model)).is_started and not run.model.exists():
                go_on = command_text("run", "--resume", model)
                raise FileNotFoundError(f"{model} is not finished and has no network yet; go on with `{go_on}`")


def refuse_frost_dir(frost_dir: Path | None, corruptions: Iterable[str]) -> None:
    """Raise a ValueError if the frost photographs are named but none of the corruptions needs them."""
    if frost_dir is not None and "frost" not in corruptions:
        raise ValueError("frost is not among the corruptions; leave out --frost-dir")
