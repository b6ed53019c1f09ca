"""Checkpoints of a training: whole or absent, verified before use, and free of pickle.

A checkpoint is one safetensors file, ``<epoch>-<batch>.<SHA-256 of the file>.safetensors``: position ``(3, 0)`` is the
end of the third epoch, ``(3, 40)`` forty batches into the fourth. It is written under a temporary name, flushed and
renamed; the name holds the hash, so both appear at once. A folder keeps the last two, for the case that the last one
rots. Tensors and arrays are tensors of the file; all else is JSON in its metadata under ``freqfast``.

**A callback takes part** by two methods of its class, with the names and the meaning that they have in torch:

- ``state_dict()`` gives what must outlive the process: a dictionary of None, booleans, numbers, strings, lists,
  dictionaries, tensors and NumPy arrays, nested at will (a tuple comes back as a list, a tensor on the CPU);
- ``load_state_dict(state)`` takes that back.

It is called between two steps or two epochs, and `load_state_dict` after the ``before_fit`` handlers; in the middle of
an epoch once more, after its ``before_epoch`` and ``before_train`` handlers, which have run again. So what these
handlers set up need not be stored: settings from the recipe, references to layers. What must be: whatever earlier
steps left behind, counts, averages, assignments, and the state of every generator that is the callback's own
(``generator.get_state()`` is a tensor). Python's, NumPy's, torch's and the loaders' generators are stored by the
training (`freqfast.training.state`), as are weights, buffers and the optimizer. A callback without the two methods is
taken to have no such state.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from freqfast.files import replacing

__all__ = ["CheckpointFolder", "CheckpointPolicy", "pack", "unpack"]

SCHEMA = 1
_KEPT = 2  # the last, and one for the case that it rots


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a training is saved, apart from its end and from interrupts.

    Args:
        epochs: Save after every so many epochs.
        minutes: And within an epoch once so many minutes have passed since the last time.
        share: But spend no more than this share of the time on it: where saving takes 0.3 s, at the default of one
            percent, 30 s pass between two checkpoints at least. 1 for no such limit.

    Raises:
        ValueError: If a value is out of range.
    """

    epochs: int = 1
    minutes: float = 10.0
    share: float = 0.01

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.epochs < 1:
            raise ValueError(f"checkpoints need at least one epoch between them, got {self.epochs}")
        if not self.minutes >= 0:
            raise ValueError(f"minutes between checkpoints must not be negative, got {self.minutes}")
        if not 0 < self.share <= 1:
            raise ValueError(f"the share of time for checkpoints must lie in (0, 1], got {self.share}")


class CheckpointFolder:
    """The checkpoints of one run; the folder appears with the first.

    Args:
        path: The folder; its parent must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sound: list[Path] | None = None

    def files(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return sorted(self.path.glob("[0-9]*.safetensors"))

    def save(self, epoch: int, batch: int, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint and remove those that are no longer among the last.

        Args:
            epoch: Epochs that are done.
            batch: Batches of the next epoch that are done.
            state: Anything that `pack` takes.

        Raises:
            OSError: If it cannot be written; the earlier ones stay.
        """
        tensors: dict[str, Tensor] = {}
        text = json.dumps({"schema": SCHEMA, "state": pack(state, tensors)})
        content = save(tensors, {"freqfast": text})
        self.path.mkdir(exist_ok=True)
        path = self.path / f"{epoch:06d}-{batch:08d}.{hashlib.sha256(content).hexdigest()}.safetensors"
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        kept = self.files() if self._sound is None else self._sound
        self._sound = [*(file for file in kept if file != path), path][-_KEPT:]
        for file in self.files():
            if file not in self._sound:
                file.unlink(missing_ok=True)
        return path

    def load(self) -> dict[str, Any] | None:
        """The last state that was saved, or the one before, with a warning, where that one is damaged.

        Returns:
            The state; None where there are no checkpoints.

        Raises:
            ValueError: If all are damaged.
        """
        files, last = self.files(), ""
        for i in reversed(range(len(files))):
            try:
                state = read_checkpoint(files[i])
            except ValueError as error:
                last = str(error)
                if i:
                    warnings.warn(f"{error}; going on from the one before, {files[i - 1].name}", stacklevel=2)
                continue
            self._sound = files[: i + 1]  # so that the next to be saved does not displace a sound one
            return state
        if files:
            raise ValueError(
                f"all checkpoints in {self.path} are damaged ({last}); "
                "remove that folder to begin this run again from its first epoch"
            )
        return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint, verified. Nothing in it is executed.

    Raises:
        ValueError: If the file cannot be read, is not what its name says, or not a checkpoint of ours.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"checkpoint {path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != path.name.split(".")[1]:
        raise ValueError(f"checkpoint {path} is damaged (its SHA-256 is not the one in its name)")
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        found = json.loads(header["__metadata__"]["freqfast"])
        if found["schema"] > SCHEMA:
            raise ValueError(f"schema {found['schema']} is newer than this version reads ({SCHEMA}); update freqfast")
        state = unpack(found["state"], tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, RecursionError, AssertionError) as error:
        raise ValueError(f"checkpoint {path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(state, dict):
        raise ValueError(f"checkpoint {path} holds no dictionary")
    return state


def pack(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """A value as JSON, its tensors and arrays apart.

    Args:
        value: See the module's docstring; dictionaries may have keys that are no strings.
        tensors: Takes the tensors, by the names that the JSON refers to. They are copies, on the CPU.
        name: Name of the value.

    Raises:
        TypeError: If the value or a part of it is of another type.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    while name in tensors:  # a key with a dot in it, and nested keys, can come to the same
        name += "~"
    if isinstance(value, (int, float, np.generic)):
        return value.item() if isinstance(value, np.generic) else value
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
    """What `pack` was given, tuples as lists.

    Raises:
        KeyError: If a tensor is missing.
        ValueError: If a tensor's memory layout is not one.
    """
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
