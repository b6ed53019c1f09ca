"""The model file ``model.safetensors``: a network's weights, and what is needed to build and use it.

Its metadata holds a `Header`, as JSON under ``freqfast``. Other tools read the weights as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
from freqfast.models.network import Network
from freqfast.models.parts import Equalization, Modulation, Parts, find_parts, install_parts
from freqfast.models.state_dicts import misfit, require_finite, require_tensors
from freqfast.preprocessing import Channels, Preprocessing, scaled_side
from freqfast.records import record_from_json, record_to_json
from freqfast.spectral.surgery import unwrap


def _spec_from_table(table: Any) -> Any:
    if not isinstance(table, Mapping):
        return table
    options = {key: value for key, value in table.items() if key != "name"}
    return {"name": table.get("name"), "options": options}


_FlatSpec = Annotated[
    ModelSpec, BeforeValidator(_spec_from_table), PlainSerializer(lambda spec: {"name": spec.name, **spec.options})
]


def _as_tuple(layers: Any) -> Any:
    """Of several layers; older files, such as the zoo's, have the table of one, or null."""
    if isinstance(layers, list):
        return tuple(layers)
    return () if layers is None else (layers,)


_OfLayers = BeforeValidator(_as_tuple)


@dataclass(frozen=True, kw_only=True)
class Header:
    """A model file's metadata: a `Network` without its weights, and the layers that have parts of freqfast.

    Attributes:
        model: What the network is built from; in the file a table of the name and the options.
        modulation, equalization: Arguments of these parts, layer by layer.
        antialiasing: The layers with a triangle before their stride.
        flc_pooling: The layers with an ideal low-pass.
        image_size: The crop of images in files, see `freqfast.Recipe`; else 0.
    """

    schema: Literal[1] = 1
    version: str = __version__
    model: _FlatSpec
    modulation: Annotated[tuple[Modulation, ...], _OfLayers]
    equalization: Annotated[tuple[Equalization, ...], _OfLayers]
    antialiasing: tuple[str, ...]
    flc_pooling: tuple[str, ...] = ()
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    mean: Channels
    std: Channels
    image_size: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        """Check the normalisation, and that there is a class for each logit."""
        _ = self.preprocessing
        logits = self.model.options.get("classes", len(self.classes))
        if len(self.classes) != logits:
            raise ValueError(f"it names {len(self.classes)} classes for a model of {logits}")

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are prepared for the network."""
        return of_run(self.mean, self.std, self.image_size)

    @property
    def parts(self) -> Parts:
        """The parts that were put into the model."""
        return Parts(
            self.modulation,
            self.equalization,
            dict.fromkeys(self.antialiasing, "triangle") | dict.fromkeys(self.flc_pooling, "flc"),
        )


def of_run(mean: Channels, std: Channels, image_size: int) -> Preprocessing:
    """The preprocessing of a run: images in files are scaled and cropped to the recipe's size, others not (0)."""
    if not image_size:
        return Preprocessing(mean, std)
    return Preprocessing(mean, std, scaled_side(image_size), image_size, "bilinear")


def write_model(path: str | Path, network: Network, half: bool = False) -> None:
    """Write a network's weights and description, whole or not at all; wrappers of the module are looked through.

    With `half`, parameters are rounded to float16, for a file of half the size; buffers stay as they are.

    Raises:
        ValueError: If there is more in the network than a file can describe, or the description contradicts it.
    """
    header, tensors = _described(network, half)
    content = save(tensors, {"freqfast": record_to_json(header)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def check_round_trip(network: Network) -> None:
    """Make a model file in memory and read it back, before hours go into training a network that could not be stored.

    A ValueError names the first parameter or buffer that the network is not built with.

    Examples:
        >>> spec = ModelSpec("resnet18", {"classes": 2, "width": 8})
        >>> network = Network("mine", spec.build(), Preprocessing((0.5,) * 3, (0.25,) * 3), ("a", "b"), spec)
        >>> check_round_trip(network)
        >>> network.module.scale = nn.Parameter(torch.ones(1))
        >>> check_round_trip(network)
        Traceback (most recent call last):
        ValueError: the model could not be read back from its file: 1 unexpected, the first is scale
    """
    try:
        header, tensors = _described(network)
        text = record_to_json(header)
        _rebuild(record_from_json(text, Header), load(save(tensors, {"freqfast": text})))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"the model could not be read back from its file: {_one_line(error)}") from None


def read_model(path: str | Path) -> Network:
    """Read a network from its file, or from the run directory that holds it; it is in eval mode, on the CPU.

    Nothing in the file is executed; a model of another package is built by that package's code. Names, shapes and types
    of the weights are compared with the model's before their values are read. Weights in float16 become float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is corrupt, was not written by freqfast, or its weights do not fit its description.
        ImportError: If the model is one of timm's, and timm is not installed.
    """
    name, path = str(path), Path(path)
    path = path / MODEL_FILE if path.is_dir() else path
    require_file(path, f"name a run directory or a {MODEL_FILE}")
    try:
        header, tensors = read_file(path)
        if header is None:
            raise ValueError("it holds weights, but no model; name the model and pass the file as its weights")
        module = channels_last(_rebuild(header, tensors)).eval()
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be loaded: {_one_line(error)}") from None
    return Network(name, module, header.preprocessing, header.classes, header.model, model=name, weights=path)


def read_file(path: Path) -> tuple[Header | None, dict[str, Tensor]]:
    """The header of a safetensors file, None if freqfast did not write it, and its tensors, which are mapped."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (mapped; nothing is read)
    except Exception as error:  # an unknown data type, say, is a KeyError
        raise ValueError(f"it is not a sound safetensors file ({error})") from None
    return record_from_json(metadata["freqfast"], Header) if "freqfast" in metadata else None, tensors


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _described(network: Network, half: bool = False) -> tuple[Header, dict[str, Tensor]]:
    """What the file of a network holds."""
    model, prepared = unwrap(network.module), network.preprocessing
    if network.spec is None or network.classes is None or prepared.mean is None or prepared.std is None:
        raise ValueError(f"{network.name} lacks its spec, classes, mean or std, which a model file holds")
    if odd := next((f"{name} is {p.dtype}" for name, p in model.named_parameters() if p.dtype != torch.float32), None):
        raise ValueError(f"{odd}, a model file holds float32; call model.float() first")
    require_utf8(network.classes, MODEL_FILE)
    parts = find_parts(model)
    header = Header(
        model=network.spec,
        modulation=parts.modulation,
        equalization=parts.equalization,
        antialiasing=parts.layers("triangle"),
        flc_pooling=parts.layers("flc"),
        classes=network.classes,
        mean=prepared.mean,
        std=prepared.std,
        image_size=prepared.crop or 0,
    )
    state = model.state_dict()
    require_tensors(state)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if half:
        tensors |= {name: tensors[name].half() for name, _ in model.named_parameters()}
    return header, tensors


def _rebuild(header: Header, tensors: dict[str, Tensor]) -> nn.Module:
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
