"""A model made ready for fast inference."""

import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from freqfast.compute.precision import resolve_device, resolve_precision
from freqfast.compute.small_maps import small_map_convolutions
from freqfast.models.build import channels_last
from freqfast.models.folding import fold_batch_norm, same_logits
from freqfast.models.network import IncompleteNetworkError, Network
from freqfast.spectral.antialiasing import LOW_PASS_BUFFERS
from freqfast.spectral.equalization import EQUALIZER_BUFFERS
from freqfast.spectral.modulation import bake_modulation
from freqfast.spectral.surgery import copy_model, unwrap

_REFERENCE, _BATCHES, _EXPONENT = EQUALIZER_BUFFERS
_NOT_HASHED = {_EXPONENT, *LOW_PASS_BUFFERS.values()}  # they only hold settings
_HASHED_AS = {_REFERENCE: "equalizer.reference", _BATCHES: "equalizer.batches"}
_BATCH_PIXELS = 2**21  # 41 images of 224 pixels, whose activations in a ResNet take half a GiB


class Classifier:
    """A network made ready for fast inference: baked, in eval mode, channels last, in the device's best precision.

    BatchNorm is folded into the convolutions before it where the first batch shows that the logits stay the same.

    Args:
        network: The network; it is copied, not changed.
        device: Where to run; by default where the network is.
        precision: See `freqfast.compute.precision.resolve_precision`.
        batch_size: Number of images at a time; fewer if that would be more than 2**21 pixels.

    Raises:
        IncompleteNetworkError: If the network's normalisation is not known.
        ValueError: If the device is not available, the precision is unknown, or the module is TorchScript.

    Examples:
        >>> from freqfast.preprocessing import Preprocessing
        >>> brightest = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
        >>> network = Network("brightest", brightest, Preprocessing((0.5,) * 3, (0.25,) * 3), ("red", "green", "blue"))
        >>> classifier = Classifier(network, precision="float32")
        >>> classifier.predict(np.full((2, 8, 8, 3), (10, 30, 20), np.uint8))
        array([1, 1])
    """

    def __init__(
        self,
        network: Network,
        device: torch.device | str | None = None,
        precision: str = "auto",
        batch_size: int = 250,
    ) -> None:
        self.name, self.classes = network.name, network.classes
        if network.preprocessing.mean is None or network.preprocessing.std is None:
            raise IncompleteNetworkError(self.name, network.preprocessing.missing)
        self.mean, self.std = network.preprocessing.mean, network.preprocessing.std
        parameter = next(network.module.parameters(), torch.empty(0))
        self.device = parameter.device if device is None else resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.dtype = getattr(torch, self.precision)
        self.batch_size = batch_size
        self.weights_sha256 = hash_weights(network.module)
        if isinstance(network.module, torch.jit.ScriptModule):
            raise ValueError(
                f"{self.name} is TorchScript, which cannot be edited; pass the module that it was made from"
            )
        self.model = copy_model(network.module).eval().requires_grad_(False)
        with suppress(ValueError):  # of a weight that pruning computes, say: the gains stay beside it
            bake_modulation(self.model)
        self._network: nn.Module | None = None  # what runs, made from `model` at the first batch
        self._is_steady: bool | None = None  # whether an image's logits are the same in each pass, once that is known
        self._columns: Tensor | None = None  # of the logits that are given, if not all
        self._trained = self.classes or ()  # of all logits, where known
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (self.mean, self.std))
        self._scale = (255 * std).reciprocal().to(self.device, torch.float32)
        self._shift = (mean / std).to(self.device, torch.float32)

    def edited(self, change: Callable[[nn.Module], object]) -> "Classifier":
        """A new classifier with a copy of `model` that ``change`` has edited in place; this one stays as it is."""
        other = copy(self)
        other.model = copy_model(self.model)
        change(other.model)
        other._network = None
        return other

    def among(self, classes: Sequence[str], trained: Sequence[str] | None = None) -> "Classifier":
        """A new classifier that chooses only among some of the classes; this one stays as it is.

        Args:
            classes: Names of the classes to choose among, in the order of the new logits.
            trained: Names of all classes, in the order of the model's logits; by default the classifier's own class
                names.

        Raises:
            ValueError: If a class is not among these names, or if the names are not known or contradict the known ones.
                Whether there are as many logits as names is checked at the first batch.

        Examples:
            >>> from freqfast.preprocessing import Preprocessing
            >>> brightest = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
            >>> network = Network("brightest", brightest, Preprocessing((0.5,) * 3, (0.25,) * 3), tuple("rgb"))
            >>> classifier = Classifier(network, precision="float32")
            >>> classifier.among(["g", "b"]).predict(np.full((2, 8, 8, 3), (30, 10, 20), np.uint8))
            array([1, 1])
        """
        known = self._trained if trained is None else tuple(trained)
        if not known:
            raise ValueError(f"the classes of {self.name} are not known; name them in the order of its logits")
        if self._trained and known != self._trained:
            raise ValueError(
                f"{self.name} has classes of its own, {', '.join(self._trained)}, not those of the list or not in its "
                "order; leave the list out"
            )
        if unknown := [name for name in classes if name not in known]:
            raise ValueError(f"{unknown[0]!r} is none of the {len(known)} classes of {self.name}")
        other = copy(self)
        other.classes, other._trained = tuple(classes), known
        other._columns = torch.tensor([known.index(name) for name in classes], device=self.device)
        return other

    @property
    def outputs(self) -> tuple[int, ...] | None:
        """Positions of the model's logits that are used, in their order; None if all are used."""
        return None if self._columns is None else tuple(self._columns.tolist())

    def _prepared(self, images: Tensor) -> nn.Module:
        """The network that runs, made from `model`, which stays what is edited and looked at.

        `Module.to` with a type would drop the imaginary parts of complex weights.
        """
        network = channels_last(copy_model(self.model).to(self.device).float())
        expected = network(images)
        if _are_logits(expected, images):  # else the caller refuses them
            network = self._folded(network, images, expected)
        return network.bfloat16() if self.dtype == torch.bfloat16 else network

    def _folded(self, network: nn.Module, images: Tensor, expected: Tensor) -> nn.Module:
        """A network with BatchNorm folded, if its logits of these images are the expected ones each time and then."""
        if self._is_steady is None:
            alone = 2 * list(zip(images.split(1), expected.split(1), strict=True))
            self._is_steady = all(same_logits(network, *each) for each in alone)
            if not self._is_steady:
                warnings.warn(
                    f"{self.name} gives other logits for the same image, at random or by what else is in the batch; if "
                    "its forward leaves dropout on or BatchNorm in training mode, switch that off",
                    stacklevel=4,
                )
        if not self._is_steady or (folded := fold_batch_norm(network)) is None:
            return network
        if same_logits(folded, images, expected):
            return channels_last(folded)
        warnings.warn(f"BatchNorm stays as it is in {self.name}: folded, it gives other logits", stacklevel=4)
        return network

    @torch.inference_mode()
    def logits(self, batch: np.ndarray) -> Tensor:
        """Logits of one batch, which may be as large as memory allows.

        Args:
            batch: Levels from 0 to 255, uint8 or float32 ``(n, H, W, 3)``, writable, in any memory order.

        Returns:
            float32 ``(n, classes)`` on the classifier's device.

        Raises:
            ValueError: If the model cannot take such images, or gives no such logits.
        """
        try:
            images = self.normalise(torch.from_numpy(batch))
            if self._network is None:
                self._network = self._prepared(images[:2])
            with small_map_convolutions(self._network):
                found = self._network(images.to(self.dtype))
        except Exception as error:  # a model may raise anything
            size, reason = "x".join(map(str, batch.shape[1:])), " ".join(str(error).split())[:200]
            raise ValueError(f"{self.name} cannot take images of {size}: {reason}") from error
        if not _are_logits(found, images):
            got = type(found).__name__
            if isinstance(found, Tensor) and not found.is_nested:
                kind = f"{found.dtype}, {found.layout}, on {found.device}"
                got = f"a tensor of shape {tuple(found.shape)} ({kind})"
            wanted = f"shape ({len(batch)}, classes), dense floats for two classes or more"
            raise ValueError(f"{self.name} must give logits of {wanted}, got {got}")
        if self._columns is None:
            return found.float()
        if found.shape[1] != len(self._trained):
            raise ValueError(
                f"{self.name} gives {found.shape[1]} logits, but {len(self._trained)} classes are named; name each of "
                "its classes once, in the order of its logits"
            )
        return found.float()[:, self._columns]

    def images_at_once(self, height: int, width: int) -> int:
        """Images of a batch: `batch_size`, fewer if they are large, so that activations do not grow with their size."""
        return max(1, min(self.batch_size, _BATCH_PIXELS // (height * width)))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Class of each image.

        Args:
            images: Levels from 0 to 255, uint8 or float32 ``(N, H, W, 3)``; a memory map is read batch by batch.

        Returns:
            int64 ``(N,)``.

        Raises:
            ValueError: As `logits`, or if the largest logit of an image is not finite.
        """
        classes, size = [], self.images_at_once(*images.shape[1:3])
        for start in range(0, len(images), size):
            batch = np.array(images[start : start + size], order="C")
            top, found = self.logits(batch).max(1)  # others may be -inf, the logarithm of a probability of 0
            if not top.isfinite().all():
                raise ValueError(f"{self.name} gives outputs that are not finite; check its weights, or try float32")
            classes.append(found)
        return torch.cat(classes).cpu().numpy()

    def normalise(self, batch: Tensor) -> Tensor:
        """Levels ``(n, H, W, 3)`` as float32 ``(n, 3, H, W)``, normalised, on the classifier's device.

        The permuted view is channels last already.
        """
        count, height, width, channels = batch.shape
        rows = batch.to(self.device).to(torch.float32, copy=True).reshape(count * height, width * channels)
        # Row by row, not channel by channel: long runs of contiguous values take half the time on a CPU.
        rows.mul_(self._scale[:channels].repeat(width)).sub_(self._shift[:channels].repeat(width))
        return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def _are_logits(found: Any, images: Tensor) -> bool:
    """Whether a network gave numbers for two classes or more of each image."""
    if not isinstance(found, Tensor) or found.is_nested or found.layout is not torch.strided or found.is_meta:
        return False
    return found.is_floating_point() and found.ndim == 2 and len(found) == len(images) and found.shape[1] > 1


def hash_weights(model: nn.Module) -> str:
    """Hash of a model's parameters and buffers with names, types and shapes; wrappers do not change it.

    Buffers that hold only settings do not count, and an equalizer's have the names that they had in the first results.
    """
    named = {}
    for name, value in unwrap(model).state_dict().items():
        layer, dot, last = name.rpartition(".")
        if last not in _NOT_HASHED:
            named[layer + dot + _HASHED_AS.get(last, last)] = value
    digest = hashlib.sha256()
    for name, value in sorted(named.items()):
        if isinstance(value, Tensor) and value.layout is torch.strided:
            tensor = value.detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        else:  # such as the packed weights of a quantized layer
            torch.save(value, saved := io.BytesIO())
            digest.update(f"{name}\n".encode() + saved.getvalue())
    return digest.hexdigest()
