"""How images are scaled, cropped and normalised for a network, as timm and torchvision state it."""

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Preprocessing:
    """How images are prepared for a network; values that are not known are None.

    Attributes:
        mean: Channel means of the normalisation, for pixels in [0, 1].
        std: Channel standard deviations of the normalisation.
        resize: Length in pixels to which the shorter side is scaled.
        crop: Height and width in pixels that are then cropped in the middle.
        interpolation: How images are scaled, by a name of Pillow's filters in lower case.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | None = None
    crop: int | None = None
    interpolation: str | None = None


def timm_preprocessing(model: nn.Module) -> Preprocessing:
    """How images are prepared for a network of timm, by its configuration.

    Sizes are None if timm does anything other than scaling the shorter side and cropping a square in the middle.

    Examples:
        >>> from freqfast.models.build import build_model
        >>> found = timm_preprocessing(build_model("timm:resnet10t"))
        >>> found.resize, found.crop, found.interpolation
        (201, 176, 'bicubic')
    """
    from timm.data import resolve_model_data_config

    stated = resolve_model_data_config(model)
    _, height, width = stated["input_size"]
    mean, std = tuple(stated["mean"]), tuple(stated["std"])
    if height != width or stated["crop_mode"] != "center":
        return Preprocessing(mean, std)
    return Preprocessing(mean, std, int(height / stated["crop_pct"]), height, stated["interpolation"])


def torchvision_preprocessing(weights: Any) -> Preprocessing:
    """How images are prepared for a network of torchvision that classifies, with these weights.

    Examples:
        >>> from torchvision.models import ResNet50_Weights
        >>> torchvision_preprocessing(ResNet50_Weights.DEFAULT).resize
        232
    """
    stated = weights.transforms()
    (resize,), (crop,) = stated.resize_size, stated.crop_size
    return Preprocessing(tuple(stated.mean), tuple(stated.std), resize, crop, stated.interpolation.value)
