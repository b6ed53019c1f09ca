"""How images become a network's input: scaled, cropped, normalised. This module alone knows how."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
"""How images are scaled: Pillow's filters; all except "nearest" antialias."""

Size = Annotated[int, Field(ge=1)]
Channels: TypeAlias = tuple[float, ...]  # three, which `Preprocessing` checks

_PIXEL_LIMIT = 2**26  # few photographs have more


@dataclass(frozen=True)
class Preprocessing:
    """How images are prepared for a network: torchvision's ``Resize``, ``CenterCrop`` and ``Normalize``.

    Attributes:
        mean: Channel means of the normalisation, for pixels in [0, 1]; None where they are not known.
        std: Channel standard deviations, likewise.
        resize: Length in pixels to which the shorter side is scaled; None to leave images as they are.
        crop: Height and width in pixels that are then cropped in the middle; None for whole images.
        interpolation: How images are scaled; None where it is not known, which is bilinear.

    Raises:
        ValueError: If mean or std are not three numbers that pixels in [0, 1] can have, or the crop is larger than the
            image is scaled to.

    Examples:
        >>> print(Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), resize=256, crop=224))
        resize 256 (bilinear), crop 224, mean 0.5,0.5,0.5, std 0.25,0.25,0.25
        >>> Preprocessing(mean=(124, 116, 104))
        Traceback (most recent call last):
        ValueError: mean must be three numbers in [0, 1], got 124,116,104; divide those of pixels from 0 to 255 by 255
    """

    mean: Channels | None = None
    std: Channels | None = None
    resize: Size | None = None
    crop: Size | None = None
    interpolation: Interpolation | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("mean", "[0"), ("std", "(0")):
            values = getattr(self, name)
            if values is None:
                continue
            values = tuple(map(float, values))
            object.__setattr__(self, name, values)
            if len(values) != 3 or not all(0 <= value <= 1 for value in values) or (name == "std" and 0 in values):
                got = ",".join(f"{value:g}" for value in values)
                way_out = "divide those of pixels from 0 to 255 by 255"
                raise ValueError(f"{name} must be three numbers in {least}, 1], got {got}; {way_out}")
        if self.interpolation not in (None, *get_args(Interpolation)):
            known = ", ".join(get_args(Interpolation))
            raise ValueError(f"interpolation must be one of {known}, got {self.interpolation!r}")
        if self.crop is not None and self.resize is not None and self.resize < self.crop:
            raise ValueError(
                f"no image scaled to {self.resize} pixels has a crop of {self.crop}; resize to {self.crop} or more"
            )

    def __str__(self) -> str:
        """What is known, in one line."""
        parts = [] if self.resize is None else [f"resize {self.resize} ({self.interpolation or 'bilinear'})"]
        parts += [] if self.crop is None else [f"crop {self.crop}"]
        for name in ("mean", "std"):
            if (values := getattr(self, name)) is not None:
                parts.append(f"{name} {','.join(f'{value:g}' for value in values)}")
        return ", ".join(parts)

    @property
    def missing(self) -> list[str]:
        """What of the normalisation is not known: "mean", "std"."""
        return [name for name in ("mean", "std") if getattr(self, name) is None]

    @property
    def scales(self) -> bool:
        """Whether images are scaled or cropped."""
        return (self.resize, self.crop) != (None, None)

    def over(self, stated: "Preprocessing") -> "Preprocessing":
        """These values and, where they are None, those that something else states.

        A crop alone changes the stated length for scaling with it.

        Examples:
            >>> print(Preprocessing(crop=112).over(Preprocessing(resize=256, crop=224)))
            resize 128 (bilinear), crop 112
        """
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        if self.crop and not self.resize and stated.crop and stated.resize:
            given["resize"] = round(self.crop * stated.resize / stated.crop)
        return replace(stated, **given)

    def frame(self, image: Image.Image) -> NDArray[np.uint8]:
        """An RGB image, scaled and cropped: uint8 ``(H, W, 3)``; a ValueError if it is smaller than the crop."""
        short = min(image.size)
        if self.resize is not None and short != self.resize:
            width, height = (int(self.resize * side / short) for side in image.size)
            if width * height > _PIXEL_LIMIT:  # such as a single line of pixels
                raise ValueError(f"scaled to {width}x{height} pixels it has more than {_PIXEL_LIMIT:,}; cut it first")
            image = image.resize((width, height), Image.Resampling[(self.interpolation or "bilinear").upper()])
        pixels = np.asarray(image)
        if self.crop is None:
            return pixels
        if min(image.size) < self.crop:
            raise ValueError(f"its {image.width}x{image.height} pixels are fewer than the crop of {self.crop}")
        top, left = (round((side - self.crop) / 2) for side in pixels.shape[:2])
        return pixels[top : top + self.crop, left : left + self.crop]


def scaled_side(image_size: int) -> int:
    """Length in pixels to which the shorter side of a photograph is scaled before it is cropped, in training of ours.

    Examples:
        >>> scaled_side(224)
        256
    """
    return round(image_size * 8 / 7)
