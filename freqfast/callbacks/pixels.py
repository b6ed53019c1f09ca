"""The base of callbacks that change training images."""

from typing import Any

import numpy as np
import torch
from fastai.data.transforms import Normalize
from fastai.learner import CastToTensor
from fastai.torch_core import TensorImageBase
from fastai.vision.core import TensorPoint
from torch import Tensor

from freqfast.callbacks.base import MethodCallback
from freqfast.methods.pixels import PixelMethod


class PixelCallback(PixelMethod, MethodCallback):
    """A `freqfast.methods.PixelMethod` in a Learner, which undoes and redoes the DataLoaders' normalisation.

    Where the model takes several images per sample, the first alone is changed. A ValueError is raised in fit if the
    callback moves pixels and the targets or further inputs (images, masks, points or boxes) would not follow.
    """

    run_valid = False
    # After MixUp and CutMix (0), so that a mixture is changed as one image; before CastToTensor and autocast.
    order = CastToTensor.order - 1

    def before_batch(self) -> None:
        """Change the batch, and append its views."""
        batch, *others = self.learn.xb
        if self.moves_pixels and any(
            isinstance(x, (TensorImageBase, TensorPoint)) or (x.ndim > 2 and x.shape[-2:] == batch.shape[-2:])
            for x in (*others, *self.learn.yb)
            if isinstance(x, Tensor)  # of fastai's types for places in an image, or with a value for each pixel
        ):
            raise ValueError(
                f"{self} rotates and shifts images here, which other images, masks, points and boxes would not follow; "
                "use what moves no pixels, such as SpectrumPerturbation"
            )
        plain = batch.as_subclass(Tensor) if isinstance(batch, Tensor) else batch
        changed = self.images(plain, *self._normalisation()).as_subclass(type(batch))
        self.learn.xb = (changed, *(torch.cat([x] * self.passes_per_image) for x in others))

    def _normalisation(self) -> tuple[Any, Any]:
        """Mean and standard deviation of the DataLoader's normalisation."""
        loader = getattr(self.learn.dl, "dl", self.learn.dl)  # the one inside of a rank's DistributedDL
        transforms = getattr(getattr(loader, "after_batch", None), "fs", ())
        normalize = next((f for f in transforms if isinstance(f, Normalize)), None)
        values = (0.0, 1.0) if normalize is None else (normalize.mean, normalize.std)
        if self.mean is not None and normalize is not None and not self._seen:
            told = [torch.as_tensor(x).float().cpu().flatten().numpy() for x in values]
            given: Any = (self.mean, self.std)
            if not all(np.allclose(a, b, atol=1e-3) for a, b in zip(given, told, strict=True)):
                raise ValueError(
                    f"mean={list(given[0])} and std={list(given[1])} are not those of the DataLoaders' Normalize, "
                    f"{told[0]} and {told[1]}; leave them out"
                )
        return values
