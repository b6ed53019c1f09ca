"""The model file ``model.safetensors``: a network's weights, and what is needed to build and use it.

Its metadata holds a `Header`, as JSON under ``freqfast``. Other tools read the weights as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, PlainSerializer
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from freqfast import __version__
from freqfast.files import replacing, require_file, require_utf8
from freqfast.models import MODEL_FILE
from freqfast.models.build import MODELS, ModelSpec, channels_last
from freqfast.models.parts import Equalization, Modulation, Parts, find_parts, install_parts, update_names
from freqfast.models.state_dicts import misfit, require_finite, require_tensors
from freqfast.records import record_from_json, record_to_json
from freqfast.spectral.antialiasing import LOW_PASS_BUFFERS
from freqfast.spectral.equalization import EQUALIZER_BUFFERS
from freqfast.spectral.surgery import unwrap


@dataclass(frozen=True)
class StoredModel:
    """A model with what is needed to build and use it.

    Attributes:
        model: The model, in float32, with or without modulation, equalization and anti-aliasing; if read from a file,
            it is in eval mode, on the CPU.
        spec: What it is built from.
        classes: Class names, in the order of the logits.
        mean: Channel means of the normalisation, for pixels in [0, 1].
        std: Channel standard deviations of the normalisation.
        image_size: If the model was trained on images in files, the size that they are cropped to, see
            `freqfast.Recipe`; else 0.
    """

    model: nn.Module = field(repr=False)
    spec: ModelSpec
    classes: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    image_size: int = 0


def _spec_from_table(table: Any) -> Any:
    if not isinstance(table, Mapping):
        return table
    options = {key: value for key, value in table.items() if key != "name"}
    return {"name": table.get("name"), "options": options}


_FlatSpec = Annotated[
    ModelSpec, BeforeValidator(_spec_from_table), PlainSerializer(lambda spec: {"name": spec.name, **spec.options})
]


def _as_tuple(found: Any) -> Any:
    """Of several layers; version 0.1 wrote the table of one, or null."""
    if isinstance(found, list):
        return tuple(found)
    return () if found is None else (found,)


_OfLayers = BeforeValidator(_as_tuple)


@dataclass(frozen=True, kw_only=True)
class Header:
    """A model file's description of its model: a `StoredModel` without the weights, and the parts put into the model.

    Attributes:
        model: What the model is built from; in the file a table of the name and the options.
        modulation: The modulated layers.
        equalization: The layers with an equalizer.
        antialiasing: The layers with a triangle before their stride.
        flc_pooling: The layers with an ideal low-pass.
    """

    schema: Literal[1] = 1
    version: str = __version__
    model: _FlatSpec
    modulation: Annotated[tuple[Modulation, ...], _OfLayers]
    equalization: Annotated[tuple[Equalization, ...], _OfLayers]
    antialiasing: tuple[str, ...]
    flc_pooling: tuple[str, ...] = ()
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        """Check the normalisation, and that there is a class for each logit."""
        check_normalisation(self.mean, self.std)
        logits = self.model.options.get("classes", len(self.classes))
        if len(self.classes) != logits:
            raise ValueError(f"it names {len(self.classes)} classes for a model of {logits}")

    @property
    def parts(self) -> Parts:
        """The parts that were put into the model."""
        return Parts(
            self.modulation,
            self.equalization,
            dict.fromkeys(self.antialiasing, "triangle") | dict.fromkeys(self.flc_pooling, "flc"),
        )


def write_model(path: str | Path, stored: StoredModel, half: bool = False) -> None:
    """Write a model's weights and description, whole or not at all; wrappers of the model are looked through.

    With `half`, parameters are rounded to float16, for a file of half the size; buffers stay as they are.

    Raises:
        ValueError: If there is more in the model than a file can describe, or the description contradicts it.
    """
    header, tensors = _described(stored, half)
    content = save(tensors, {"freqfast": record_to_json(header)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def check_round_trip(stored: StoredModel) -> None:
    """Make a model file in memory and read it back, before hours go into training a model that could not be stored.

    A ValueError names the first parameter or buffer that the model is not built with.

    Examples:
        >>> spec = ModelSpec("resnet18", {"classes": 2, "width": 8})
        >>> stored = StoredModel(spec.build(), spec, "ab", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        >>> check_round_trip(stored)
        >>> stored.model.scale = nn.Parameter(torch.ones(1))
        >>> check_round_trip(stored)
        Traceback (most recent call last):
        ValueError: the model could not be read back from its file: 1 unexpected, the first is scale
    """
    try:
        header, tensors = _described(stored)
        text = record_to_json(header)
        _rebuild(record_from_json(text, Header), load(save(tensors, {"freqfast": text})))
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the model could not be read back from its file: {reason}") from None


def read_model(path: str | Path) -> StoredModel:
    """Read a model from its file, or from the run directory that holds it.

    Nothing in the file is executed; a model of another package is built by that package's code. Names, shapes and types
    of the weights are compared with the model's before their values are read. Weights in float16 become float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is corrupt, was not written by freqfast, or its weights do not fit its description.
        ImportError: If the model is one of timm's, and timm is not installed.
    """
    path = Path(path)
    path = path / MODEL_FILE if path.is_dir() else path
    require_file(path, f"name a run directory or a {MODEL_FILE}")
    try:
        return _read(path)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None


def check_normalisation(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse a mean or std that is not three numbers, or has values that pixels in [0, 1] cannot have."""
    in_range = all(0 <= value <= 1 for value in mean) and all(0 < value <= 1 for value in std)
    if not (len(mean) == len(std) == 3 and in_range):
        got = " and ".join(",".join(f"{value:g}" for value in values) for values in (mean, std))
        raise ValueError(
            f"mean must be three numbers in [0, 1] and std three in (0, 1], as pixels have them, got {got}; divide "
            "those of pixels from 0 to 255 by 255"
        )


def _described(stored: StoredModel, half: bool = False) -> tuple[Header, dict[str, Tensor]]:
    """What the file of a model holds."""
    model = unwrap(stored.model)
    if odd := next((f"{name} is {p.dtype}" for name, p in model.named_parameters() if p.dtype != torch.float32), None):
        raise ValueError(f"{odd}, a model file holds float32; call model.float() first")
    require_utf8(stored.classes, MODEL_FILE)
    parts = find_parts(model)
    triangles, ideal = (
        tuple(layer for layer, found in parts.low_passes.items() if found == kind) for kind in ("triangle", "flc")
    )
    header = Header(
        model=stored.spec,
        modulation=parts.modulation,
        equalization=parts.equalization,
        antialiasing=triangles,
        flc_pooling=ideal,
        classes=tuple(stored.classes),
        mean=tuple(map(float, stored.mean)),
        std=tuple(map(float, stored.std)),
        image_size=stored.image_size,
    )
    state = model.state_dict()
    require_tensors(state)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        tensors |= {name: tensors[name].half() for name, _ in model.named_parameters()}
    return header, tensors


def _read(path: Path) -> StoredModel:
    """See `read_model`; messages do not name the file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (mapped; nothing is read)
    except Exception as error:  # an unknown data type, say, is a KeyError
        raise ValueError(f"it is not a sound safetensors file ({error})") from None
    if "freqfast" not in metadata:
        raise ValueError("it holds weights, but no model; name the model and pass the file as its weights")
    header = record_from_json(metadata["freqfast"], Header)
    model = _rebuild(header, tensors)
    model = channels_last(model).eval()
    return StoredModel(model, header.model, header.classes, header.mean, header.std, header.image_size)


def read_header(path: str | Path) -> Header | None:
    """The header of freqfast's model file; None for another safetensors file. A corrupt file is a ValueError."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return record_from_json(metadata["freqfast"], Header) if "freqfast" in metadata else None
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None


def update_tensors(header: Header, tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Tensors as this version writes them, for a network to load; version 0.1 kept some of them only in the header."""
    tensors, modules = dict(tensors), dict(network.named_modules())
    for equalization in header.equalization:
        if equalization.layer in modules:
            tensors.setdefault(f"{equalization.layer}.{EQUALIZER_BUFFERS[2]}", torch.tensor(equalization.exponent))
    for layer, kind in header.parts.low_passes.items():
        if isinstance(conv := modules.get(layer), nn.Conv2d):
            tensors.setdefault(f"{layer}.{LOW_PASS_BUFFERS[kind]}", torch.tensor(conv.stride))
    return update_names(tensors, network)


def _rebuild(header: Header, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The described model with these weights, which are compared with a model that takes no memory.

    Not every other package's model can be built so, and it may hold computed values that are not in its state dict; it
    is therefore built on the CPU as well.
    """
    ours = header.model.name in MODELS
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"), _NothingDrawn():
                model = _assemble(header)
        except Exception:
            if ours:
                raise
            model = _assemble(header)
        expected = model.state_dict()
        tensors = update_tensors(header, tensors, model)
        if faults := misfit(tensors, expected):
            raise ValueError(faults)
        if not ours:
            model = _assemble(header)
    for name, tensor in tensors.items():
        if (tensor.dtype, expected[name].dtype) == (torch.float16, torch.float32):
            tensors[name] = tensor.float()
        elif tensor.dtype != expected[name].dtype:
            raise ValueError(f"{name} is {tensor.dtype}, but the model has {expected[name].dtype}")
    require_finite(tensors)
    model.load_state_dict(tensors, assign=True)
    return model


class _NothingDrawn(TorchFunctionMode):
    """On the meta device no normal numbers are drawn: torch imports its compiler for them, which takes two seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.normal_ and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _assemble(header: Header) -> nn.Module:
    """The described model with fresh weights."""
    model = header.model.build()
    install_parts(model, header.parts)
    return model
