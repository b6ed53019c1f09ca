"""Options that several commands have, each written once, and options that do not go together."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from freqfast.cli.command import complete_corruption, complete_run, option
from freqfast.cli.files import check_exists
from freqfast.cli.output import command_text, print_on_stderr

from freqfast.corruptions.tables import TableChoice
from freqfast.models import SOURCES

if TYPE_CHECKING:
    from freqfast.models.classifier import Classifier
    from freqfast.models.network import Network

KINDS = f"{SOURCES[0].upper()}{SOURCES[1:]} (code is imported and called: name what you trust)."
_HIDDEN = (
    "A foreign network is described by a .toml file, or by --weights, --mean, --std and the other options that "
    "`freqfast evaluate -h` lists."
)

SELDOM: dict[str, Any] = {"rich_help_panel": "Seldom needed"}

Model = Annotated[str, typer.Argument(metavar="MODEL", help=KINDS, autocompletion=complete_run)]
TestData = Annotated[
    str | None,
    option(
        "PATH",
        "The test images: as for `run`, a folder of images by class, or a name (cifar10, photos; write ./cifar10 for a "
        "folder of that name). By default the run's or those of the .toml file, then FREQFAST_DATA, then the cache.",
    ),
]
Data = Annotated[
    Path | None,
    option("PATH", "CIFAR-10, or a folder of train/CLASS and test/CLASS; by default FREQFAST_DATA, then the cache."),
]
Limit = Annotated[int | None, option("N", "Test images to use, from the first on; by default all.", min=1)]
Labels = Annotated[
    Path | None, option("FILE", "List of the images' classes, one image per line: NAME CLASS.", **SELDOM)
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out files that are no images, and say how many.", **SELDOM)
]
Resize = Annotated[int | None, option("N", "Scale the shorter side to N pixels.", min=1)]
Crop = Annotated[int | None, option("N", "Cut N x N pixels out of the middle.", min=1)]
# As `freqfast.preprocessing.Interpolation`, whose import takes longer.
Interpolation = Annotated[
    Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] | None,
    option("NAME", "How to scale: bilinear (default), bicubic, ..."),
]
Corruptions = Annotated[
    str | None,
    option(
        "c|c-bar|NAME,...",
        "The 19 corruptions of CIFAR-10-C, the ten of C-bar, or those that are named; by default c, or all that are "
        "stored.",
        autocompletion=complete_corruption,
    ),
]
Parameters = Annotated[
    TableChoice,
    option(
        "NAME",
        "The published parameters of the corruptions for cifar10, tiny-imagenet or imagenet; auto: the first for "
        "shorter sides below 48 pixels, the second below 112, else the third.",
        **SELDOM,
    ),
]
CorruptionSeed = Annotated[int, option("N", "Seed of the corruptions.", **SELDOM)]
FrostDir = Annotated[
    Path | None, option("PATH", "Folder of the frost photographs, if `frost` is not installed.", **SELDOM)
]
Settings = Annotated[
    list[str] | None,
    option(
        "KEY=VALUE",
        "Override a value (TOML), as in epochs=2, model.width=16, frequency_proportion.purity=0.8.",
        "--set",
    ),
]
TrainingDevice = Annotated[str | None, option("NAME", "Where to train, such as cpu or cuda:0.", "--device")]
# The help of a command says what these two do in a line, see `Command`.
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print JSON, all else on stderr; accuracies and shares are fractions.",
        hidden=True,
        is_eager=True,
        callback=print_on_stderr,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.", hidden=True)]


@dataclass(frozen=True)
class NetworkOptions:
    """The options that describe a network which no file describes, and how a network is run."""

    weights: Annotated[
        Path | None,
        option(
            "PATH|none",
            "State dict of a network of yours: .safetensors, .pth, .th; none for code whose network has its weights, "
            "which otherwise are random.",
        ),
    ] = None
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Use the official weights of timm or torchvision, which download them.")
    ] = False
    mean: Annotated[str | None, option("R,G,B", "Means of its normalisation, for pixels in [0, 1].")] = None
    std: Annotated[str | None, option("R,G,B", "Its standard deviations, likewise.")] = None
    resize: Resize = None
    crop: Crop = None
    interpolation: Interpolation = None
    class_list: Annotated[Path | None, option("FILE", "Its class names, one per line, in the order of its logits.")] = (
        None
    )
    device: Annotated[
        str | None, option("NAME", "Where to run, such as cpu or cuda:0; by default on a CUDA GPU if there is one.")
    ] = None
    precision: Annotated[
        Literal["auto", "bfloat16", "float32"] | None,
        option(
            "auto|bfloat16|float32",
            "auto: bfloat16 where the device computes it natively. bfloat16 rounds pixels, which an equalizer would "
            "amplify where a filter has cut the spectrum: `reliance` takes float32 by default.",
        ),
    ] = None

    @property
    def scaling(self) -> tuple[int | None, int | None, str | None]:
        """What they say of how images are scaled."""
        return self.resize, self.crop, self.interpolation

    def load(self, model: str, sees_images: bool = True, is_baseline: bool = False) -> "Network":
        """The network that is named; a baseline's options stand in a file alone."""
        from freqfast.models.network import IncompleteNetworkError
        from freqfast.models.sources import load_network

        in_code = str(self.weights) == "none"
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore" if in_code else "error", ".*comes without a file of weights")
                return load_network(
                    model,
                    weights=None if in_code else self.weights,
                    mean=_triple("mean", self.mean),
                    std=_triple("std", self.std),
                    resize=self.resize,
                    crop=self.crop,
                    interpolation=self.interpolation,
                    classes=self.class_list,
                    pretrained=self.pretrained,
                    sees_images=sees_images,
                )
        except UserWarning as warning:
            ways = "name them in a .toml file" if is_baseline else "add --weights FILE, or --weights none to take it so"
            raise ValueError(f"{warning}; {ways}") from None
        except IncompleteNetworkError as error:
            ways = "" if is_baseline else f"add {' '.join(_WAYS[field] for field in error.missing)}, or "
            told = f"{error.name} lacks {', '.join(error.missing)}; {ways}describe it in a .toml file"
            raise ValueError(told) from None

    def classifier(self, network: "Network", precision: str = "auto") -> "Classifier":
        """A network, the baseline too, ready to classify images."""
        from freqfast.compute.precision import default_device
        from freqfast.models.classifier import Classifier

        return Classifier(network, self.device or default_device(), self.precision or precision)


_FLAGS = fields(NetworkOptions)
_WAYS = {"weights": "--weights FILE or --pretrained", "mean": "--mean R,G,B", "std": "--std R,G,B"}


def takes_network(command: Callable[..., Any], *, listed: bool = False) -> Callable[..., Any]:
    """Give a command the options of a network, as its argument `network`; its help lists them or says where they are.

    The command gets `NetworkOptions`, whose `load` reads what is named.
    """
    signature = inspect.signature(command)
    flags = [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=_shown(each, listed)
        )
        for each in _FLAGS
    ]
    own = [each for each in signature.parameters.values() if each.name != "network"]

    def wrapper(**values: Any) -> Any:
        network = NetworkOptions(**{each.name: values.pop(each.name) for each in _FLAGS})
        return command(network=network, **values)

    wrapper.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    wrapper.__name__ = command.__name__
    wrapper.__doc__ = inspect.cleandoc(command.__doc__ or "")
    if not listed:
        text, _, examples = wrapper.__doc__.partition("Examples:\n")
        wrapper.__doc__ = f"{text}{_HIDDEN}\n\nExamples:\n{examples}"
    return wrapper


def _shown(each: Any, listed: bool) -> Any:
    """The annotation of a network's option, in a panel of its own or hidden."""
    kind, info = each.type.__origin__, copy(each.type.__metadata__[0])
    info.hidden, info.rich_help_panel = not listed, "The network, if no file describes it, and where it runs"
    return Annotated[kind, info]


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


def check_model(model: str) -> None:
    """Refuse a model that is not there."""
    from freqfast.models.zoo import PREFIX, network_path
    from freqfast.runs.directory import RunDirectory

    if model.startswith(PREFIX) and not Path(model).exists():
        network_path(model.removeprefix(PREFIX))
    if ":" not in model:
        check_exists(model, SOURCES)
        if (run := RunDirectory(model)).is_started and not run.model.exists():
            go_on = command_text("run", "--resume", model)
            raise FileNotFoundError(f"{model} is not finished and has no network yet; go on with `{go_on}`")
