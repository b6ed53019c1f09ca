"""Models by specification: our own files, timm's, torchvision's, or what any importable function returns."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from freqfast.models.file import StoredModel, check_normalisation, read_model
from freqfast.models.state_dicts import load_state
from freqfast.plugins import import_object, working_directory_importable

__all__ = ["KINDS", "SourcedModel", "check_classes", "load_model"]

KINDS = "a run directory, a .safetensors file of ours, timm:NAME, torchvision:NAME or package.module:callable"


@dataclass(frozen=True)
class SourcedModel:
    """A model and the normalisation that it expects.

    Attributes:
        name: The specification.
        model: The model, in eval mode, on the CPU.
        mean: Channel means, for pixels in [0, 1].
        std: Standard deviations.
        classes: Class names, in the order of the logits; None for models that are not ours.
    """

    name: str
    model: nn.Module = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] | None = None


def load_model(
    spec: str | Path,
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    classes: int = 10,
) -> SourcedModel:
    """Build a model by its specification.

    Args:
        spec: A run directory; a ``.safetensors`` file of ours; ``timm:NAME``; ``torchvision:NAME``; or
            ``package.module:callable``, which is imported and, unless it is a model already, called without arguments:
            it runs code, by design, and so should name code that you trust. Nothing else here runs code.
        weights: For a model that is not ours: a state dict, see `freqfast.models.state_dicts.load_state`. timm's and
            torchvision's need it.
        mean: Channel means of the normalisation; by default those of our file, or of timm's configuration of the model.
        std: Its standard deviations, likewise.
        classes: Number of logits of a timm or torchvision model.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the specification names no model, or weights or normalisation do not fit or are missing.
        ImportError: If timm is asked for and not installed.
    """
    text = str(spec)
    kind, colon, name = text.partition(":")
    is_ours = not colon or Path(spec).exists()
    default_mean: Sequence[float] | None = None
    default_std: Sequence[float] | None = None
    names: tuple[str, ...] | None = None
    if is_ours:
        ours = _load_ours(Path(spec), weights)
        model, default_mean, default_std, names = ours.model, ours.mean, ours.std, ours.classes
    elif kind == "timm":
        model, default_mean, default_std = _build_timm(name, classes)
    elif kind == "torchvision":
        model = _build_torchvision(name, classes)
    elif re.fullmatch(r"[\w.]+:[\w.]+", text):
        model = _call(text)
    else:
        raise ValueError(f"{text!r} names no model: name {KINDS}")
    if weights is not None:
        _fill(model, text, weights)
    elif kind in ("timm", "torchvision") and not is_ours:
        raise ValueError(f"{text} would have random weights; pass its trained ones with --weights FILE")
    mean, std = mean or default_mean, std or default_std
    if mean is None or std is None:
        raise ValueError(
            f"the normalisation of {text} is not known; pass --mean R,G,B and --std R,G,B, for pixels in [0, 1]"
        )
    check_normalisation(mean, std)
    return SourcedModel(text, model.eval(), tuple(mean), tuple(std), names)


def check_classes(model: str, trained: Sequence[str] | None, data: str, found: Sequence[str] | None) -> None:
    """Refuse data of other classes than a model's, as many as they may be: its accuracy there would mean nothing.

    Args:
        model: What to call the model.
        trained: Its class names, in the order of its logits; None where they are not known.
        data: What to call the data.
        found: The data's class names, in the order of its labels; None where they are not known.

    Raises:
        ValueError: If both are known and differ.
    """
    if trained is not None and found is not None and tuple(trained) != tuple(found):
        raise ValueError(
            f"{model} was trained on the classes {', '.join(trained)}, but those of {data} are {', '.join(found)}; "
            "name data of its own classes"
        )


def _load_ours(path: Path, weights: str | Path | None) -> StoredModel:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; name {_hint(str(path)) or KINDS}")
    if path.is_file() and path.suffix in (".pth", ".pt", ".ckpt"):
        raise ValueError(f"{path} holds weights, but no model; name the model and pass --weights {path}")
    if weights is not None:
        raise ValueError(f"{path} has its own weights; leave out --weights {weights}")
    return read_model(path)


def _hint(name: str) -> str:
    """What a name without its kind may have meant."""
    if not re.fullmatch(r"\w+", name):
        return ""
    known = [kind for kind, names in (("timm", _timm_names()), ("torchvision", _torchvision_names())) if name in names]
    return " or ".join(f"{kind}:{name}" for kind in known) + (" with --weights FILE" if known else "")


def _build_timm(name: str, classes: int) -> tuple[nn.Module, Sequence[float] | None, Sequence[float] | None]:
    try:
        import timm
    except ImportError:
        raise ImportError(f"timm:{name} needs timm, which is not installed; pip install timm") from None
    if not timm.is_model(name):
        raise ValueError(_unknown("timm", name, _timm_names()))
    model = _built(f"timm:{name}", lambda: timm.create_model(name, pretrained=False, num_classes=classes))
    config = getattr(model, "pretrained_cfg", None) or {}
    return model, config.get("mean"), config.get("std")


def _build_torchvision(name: str, classes: int) -> nn.Module:
    from torchvision import models

    if name not in _torchvision_names():
        raise ValueError(_unknown("torchvision", name, _torchvision_names()))
    return _built(f"torchvision:{name}", lambda: models.get_model(name, weights=None, num_classes=classes))


def _call(text: str) -> nn.Module:
    """A model, or what a function returns."""
    try:
        found = import_object(text)
    except ValueError as error:
        raise ValueError(f"{error}; models are {KINDS}") from None
    if isinstance(found, nn.Module):  # which is callable too
        return found
    if not callable(found):
        raise ValueError(f"{text} is no function or class that returns a model, but {type(found).__name__}")
    with working_directory_importable():
        return _built(text, found)


def _built(text: str, build: Callable[[], Any]) -> nn.Module:
    try:
        model = build()
    except Exception as error:
        raise ValueError(f"{text} cannot be built ({_one_line(error)})") from None
    if not isinstance(model, nn.Module):
        raise ValueError(f"{text} must return a torch.nn.Module, got {type(model).__name__}")
    return model


def _fill(model: nn.Module, text: str, weights: str | Path) -> None:
    state = load_state(weights)
    expected = model.state_dict()
    missing, surplus = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    odd = sorted(key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape)
    if missing or surplus or odd:
        faults = [
            f"{len(keys)} {what}, the first is {keys[0]}"
            for keys, what in ((missing, "missing"), (surplus, "too many"))
            if keys
        ]
        faults += [f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}" for key in odd[:1]]
        raise ValueError(f"{weights} does not fit {text}: {'; '.join(faults)} (--classes sets the number of logits)")
    model.load_state_dict(state)


def _timm_names() -> Iterable[str]:
    try:
        import timm
    except ImportError:
        return ()
    return timm.list_models()


def _torchvision_names() -> Iterable[str]:
    from torchvision import models

    return models.list_models(module=models)


def _unknown(kind: str, name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), 3)
    return f"{kind} has no model {name!r}; " + (
        f"did you mean {' or '.join(close)}?" if close else "see its list of models"
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
