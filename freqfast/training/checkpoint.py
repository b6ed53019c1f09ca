"""Checkpoints of a training: written whole or not at all, verified before use, and free of pickle.

A checkpoint is one safetensors file, ``<epoch>-<batch>.<SHA-256 of the file>.safetensors``: position ``(3, 0)`` is the
end of the third epoch, ``(3, 40)`` forty batches into the fourth. It is written under a temporary name, flushed and
renamed; the name holds the hash, so both appear at once. A folder keeps the last two, in case the last is corrupt. The
file's tensors are those of the training's state. Its metadata holds a `CheckpointHeader` under ``freqfast`` and the
rest of the state as JSON under ``state``.

**A callback takes part** by two methods of its class, with the names and the meaning that they have in torch:

- ``state_dict()`` gives what must outlive the process: a dictionary of None, booleans, numbers, strings, lists,
  dictionaries, tensors and NumPy arrays, nested at will (a tuple comes back as a list, a tensor on the CPU);
- ``load_state_dict(state)`` takes that back.

The first is called between two steps or two epochs. The second is called after the ``before_fit`` handlers, and in the
middle of an epoch once more, after its ``before_epoch`` and ``before_train`` handlers, which have run again. So what
these handlers set up need not be stored: settings from the recipe, references to layers. What must be stored is the
state that earlier steps left behind: counts, averages, assignments, and the state of every generator that is the
callback's own (``generator.get_state()`` is a tensor). Python's, NumPy's, torch's and the loaders' generators are
stored by the training (`freqfast.training.state`), as are weights, buffers and the optimizer. A callback without the
two methods is taken to have no such state.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load, save
from torch import Tensor

from freqfast.files import read_file, replacing
from freqfast.records import check_fields, record_from_json, record_to_json

_KEPT = 2
_MAX_BYTES = 2**40


@dataclass(frozen=True)
class Origin:
    """The run that a checkpoint belongs to: only a run of the same origin can be resumed from it.

    Attributes:
        recipe_sha256: Hash of the run's ``recipe.toml``.
        data_sha256: Hash of its data.
        threads: Its number of CPU threads.
        precision: "bfloat16" or "float32".
    """

    recipe_sha256: str
    data_sha256: str
    threads: int
    precision: str


@dataclass(frozen=True, kw_only=True)
class CheckpointHeader:
    """What a checkpoint holds besides the state of the training.

    Attributes:
        origin: The run that it belongs to.
        epoch: Number of finished epochs.
        batch: Number of finished batches of the next epoch.
        seconds: Seconds of training so far.
        metrics: The rows of ``metrics.csv`` so far.
    """

    schema: Literal[2] = 2
    origin: Origin
    epoch: int
    batch: int
    seconds: float
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a training is saved, besides at its end and at interrupts.

    Args:
        epochs: Save each time this many epochs are done.
        minutes: Save also within an epoch, once this many minutes have passed since the last checkpoint.
        share: Spend no more than this share of the time on saving: if saving takes 0.3 s, then with the default of one
            percent at least 30 s pass between two checkpoints. 1 sets no limit.

    Raises:
        ValueError: If a value is out of range.
    """

    epochs: Annotated[int, Field(ge=1)] = 1
    minutes: Annotated[float, Field(ge=0)] = 10.0
    share: Annotated[float, Field(gt=0, le=1)] = 0.01

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_fields(self)


class CheckpointFolder:
    """The checkpoints of one run, in a folder that is created with the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return sorted(self.path.glob("[0-9]*.safetensors"))

    def save(self, header: CheckpointHeader, state: Mapping[str, Any]) -> None:
        """Write a checkpoint of a state that `pack` accepts, and remove all but the last two."""
        tensors: dict[str, Tensor] = {}
        text = json.dumps(pack(state, tensors))
        content = save(tensors, {"freqfast": record_to_json(header), "state": text})
        self.path.mkdir(exist_ok=True)
        path = self.path / f"{header.epoch:06d}-{header.batch:08d}.{hashlib.sha256(content).hexdigest()}.safetensors"
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        for file in self.files()[:-_KEPT]:
            file.unlink(missing_ok=True)

    def load(self) -> tuple[CheckpointHeader, dict[str, Any]] | None:
        """Header and state of the last checkpoint; None if there are none.

        If the last checkpoint cannot be read, it is removed with a warning, and the one before it is used.
        """
        files, unreadable = self.files(), []
        for file in reversed(files):
            try:
                found = read_checkpoint(file)
            except ValueError as error:
                unreadable.append((file, error))
                continue
            for other, reason in unreadable:
                warnings.warn(f"{reason}; going on from the one before, {file.name}", stacklevel=2)
                other.unlink()
            return found
        if files:
            raise ValueError(
                f"no checkpoint in {self.path} can be read ({unreadable[0][1]}); "
                "remove that folder to begin this run again from its first epoch"
            )
        return None


def read_checkpoint(path: Path) -> tuple[CheckpointHeader, dict[str, Any]]:
    """Header and state of a checkpoint, verified by the hash in its name. Nothing in it is executed."""
    try:
        content = read_file(path, _MAX_BYTES)
    except OSError as error:
        raise ValueError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != path.name.split(".")[1]:
        raise ValueError(f"checkpoint {path} is corrupt (its SHA-256 is not the one in its name)")
    try:
        tensors = load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        header = record_from_json(metadata["freqfast"], CheckpointHeader)
        return header, dict(unpack(json.loads(metadata["state"]), tensors))
    except Exception as error:  # safetensors, torch and json raise many kinds for what they cannot read
        raise ValueError(f"checkpoint {path} cannot be read: {' '.join(str(error).split())}") from None


def pack(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """A value as JSON, with its tensors and arrays kept separately.

    Args:
        value: See the module's docstring; dictionaries may have keys that are not strings.
        tensors: The tensors are added to it, as copies on the CPU, under the names that the JSON refers to.
        name: Name of the value.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    while name in tensors:  # a key with a dot in it, and nested keys, can come to the same
        name += "~"
    if isinstance(value, Tensor):
        # A copy keeps the order of the axes in memory, which kernels compute in: sums differ in another.
        copy = value.detach().as_subclass(Tensor).cpu().clone()
        tensors[name] = copy.contiguous()
        plain = torch.empty(copy.shape, device="meta").stride()
        return {"$tensor": name} if copy.stride() == plain else {"$tensor": name, "stride": list(copy.stride())}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.array(value, order="C"))
        return {"$array": name}
    if isinstance(value, (list, tuple)):
        return [pack(item, tensors, f"{name}.{i}") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: pack(item, tensors, f"{name}.{key}" if name else key) for key, item in value.items()}
        return {"$items": [pack(list(item), tensors, f"{name}.{i}") for i, item in enumerate(value.items())]}
    raise TypeError(
        f"{name} is a {type(value).__name__}, which a checkpoint cannot hold; see freqfast.training.checkpoint"
    )


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that `pack` was given, with lists in place of tuples."""
    if isinstance(packed, list):
        return [unpack(item, tensors) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if "$tensor" in packed:
        tensor = tensors[packed["$tensor"]]
        return _with_stride(tensor, packed["stride"]) if "stride" in packed else tensor
    if "$array" in packed:
        return tensors[packed["$array"]].numpy()
    if "$items" in packed:
        return {key: unpack(item, tensors) for key, item in packed["$items"]}
    return {key: unpack(item, tensors) for key, item in packed.items()}


def _with_stride(tensor: Tensor, stride: list[int]) -> Tensor:
    """The tensor with its axes in another order in memory."""
    size = 1
    for step, count in sorted(zip(stride, tensor.shape, strict=True)):
        if count > 1 and tensor.numel():
            if step != size:  # a gap, which may be any size, or an overlap
                raise ValueError(f"{stride} are no strides of a dense tensor of shape {tuple(tensor.shape)}")
            size *= count
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
