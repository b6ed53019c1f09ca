"""Counter-based random numbers: one independent stream for each image of a batch, the same on any device.

A generator with a state would make an image's noise depend on the images drawn before it. Here a number is a hash
of (key of the image, position in its stream): a batch is drawn in a few vectorised operations, and an image's numbers
depend on its own key alone. The hash is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), which passes BigCrush.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_NORMAL_BITS = 16


def _signed64(value: int) -> int:
    """The int64 with the same 64 bits as ``value`` taken modulo 2**64 (torch has no full uint64 arithmetic)."""
    value &= 0xFFFFFFFFFFFFFFFF
    return value - (1 << 64) if value >> 63 else value


def _xor_shift_(z: Tensor, shift: int) -> None:
    """``z ^= z >> shift`` in place, with the logical shift that int64 lacks: mask off the copies of the sign."""
    z.bitwise_xor_((z >> shift).bitwise_and_((1 << (64 - shift)) - 1))


def _mix_(z: Tensor) -> Tensor:
    """SplitMix64's output function, in place on an int64 tensor (products wrap)."""
    _xor_shift_(z, 30)
    z.mul_(_signed64(0xBF58476D1CE4E5B9))
    _xor_shift_(z, 27)
    z.mul_(_signed64(0x94D049BB133111EB))
    _xor_shift_(z, 31)
    return z


@lru_cache(maxsize=64)
def _counters(bits: int, device: torch.device) -> Tensor:
    """``1 .. 2**bits``, times the golden gamma."""
    return torch.arange(1, 2**bits + 1, device=device).mul_(_signed64(_GOLDEN))


@lru_cache(maxsize=4)
def _normal_quantiles(device: torch.device) -> Tensor:
    """The means of 2**16 equally likely slices of the standard normal, rescaled to unit variance; float64."""
    from scipy.special import ndtri  # here, since few need it and it takes a while to import

    edges = ndtri(np.linspace(0.0, 1.0, 2**_NORMAL_BITS + 1))
    density = np.exp(-0.5 * edges**2) / math.sqrt(2 * math.pi)
    means = (density[:-1] - density[1:]) * 2**_NORMAL_BITS
    return torch.from_numpy(means / means.std()).to(device)


class BatchRandom:
    """Random numbers for a batch of ``n`` images, each from a stream of its own.

    Every draw returns a tensor of shape ``(n, *shape)`` and moves all streams on by the same amount, so that row
    ``k`` depends only on ``keys[k]`` and on the shapes drawn so far. All but the last float operations are exact, so
    the numbers are the same on every device.

    Args:
        keys: ``(n,)`` int64, one key an image; see :meth:`for_images`.

    Examples:
        >>> rng = BatchRandom.for_images(seed=0, name="fog", severity=1, index=torch.arange(3))
        >>> rng.uniform(0.0, 1.0, shape=(32, 32)).shape
        torch.Size([3, 32, 32])
    """

    def __init__(self, keys: Tensor) -> None:
        self._keys = keys
        self._position = 0

    @classmethod
    def for_images(cls, seed: int, name: str, severity: int, index: Tensor) -> "BatchRandom":
        """Streams keyed by ``(seed, name, severity, index[k])``; ``index`` is ``(n,)`` int64, on the wanted device."""
        digest = hashlib.blake2b(f"{seed}/{name}/{severity}".encode(), digest_size=8).digest()
        base = int.from_bytes(digest, "little")
        return cls(_mix_(index.to(torch.int64).mul(_signed64(_GOLDEN)).add_(_signed64(base))))

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def device(self) -> torch.device:
        """Where the numbers are made."""
        return self._keys.device

    def bits(self, shape: Sequence[int] = (), dtype: torch.dtype = torch.int32) -> Tensor:
        """Uniformly random bit patterns: ``(n, *shape)`` of an integer ``dtype``."""
        count = math.prod(shape)
        words = -(-count * dtype.itemsize // 8)
        start = self._keys + _signed64(_GOLDEN * self._position)
        self._position += words
        counters = _counters(words.bit_length(), self.device)[:words]
        z = _mix_(start[:, None] + counters)
        return z.view(dtype)[:, :count].reshape(len(self), *shape)

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: Sequence[int] = ()) -> Tensor:
        """Uniform in ``[low, high)``: float64 ``(n, *shape)``, in 2**32 equal steps."""
        unit = self.bits(shape, torch.int32).to(torch.float64).mul_(2.0**-32).add_(0.5)
        return unit.mul_(high - low).add_(low)

    def integers(self, high: int | Tensor, shape: Sequence[int] = ()) -> Tensor:
        """Uniform in ``{0, ..., high - 1}``: int64 ``(n, *shape)``; ``high`` is at most 2**31 and broadcasts."""
        return ((self.bits(shape, torch.int32).to(torch.int64) + 2**31) * high) >> 32

    def normal(self, loc: float = 0.0, scale: float = 1.0, shape: Sequence[int] = ()) -> Tensor:
        """Gaussian: float64 ``(n, *shape)``, from 2**16 equally likely values (at most 4.4 ``scale`` from ``loc``)."""
        slices = self.bits(shape, torch.int16).to(torch.int32).add_(2 ** (_NORMAL_BITS - 1))
        quantiles = _normal_quantiles(self.device).index_select(0, slices.view(-1))
        return quantiles.view(slices.shape).mul_(scale).add_(loc)
