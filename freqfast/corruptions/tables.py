"""The published parameters of every corruption, for images of three sizes.

They are those of the published generators: CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C (Hendrycks and Dietterich, ICLR
2019, arXiv:1903.12261), CIFAR-10-C-bar and ImageNet-C-bar (Mintun, Kirillov and Xie, NeurIPS 2021, arXiv:2102.11273).
Each is the keyword argument of that name of the corruption's function, which says what it means.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

Table: TypeAlias = Literal["cifar10", "tiny-imagenet", "imagenet"]
"""Whose parameters to use: they were published for images of 32, 64 and 224 pixels."""

TableChoice: TypeAlias = Literal["auto", Table]
"""A table, or "auto" for the one that fits the images' size."""

TABLES: tuple[Table, ...] = get_args(Table)

_Parameters: TypeAlias = Mapping[str, Any]  # a tuple has a value for each severity, anything else is for all of them

_LIMITS: tuple[tuple[int, Table], ...] = ((48, "cifar10"), (112, "tiny-imagenet"))
_MUD = (False, False, False, True, True)

_CIFAR10: Mapping[str, _Parameters] = {
    "gaussian_noise": {"scale": (0.04, 0.06, 0.08, 0.09, 0.10)},
    "shot_noise": {"rate": (500, 250, 100, 75, 50)},
    "impulse_noise": {"amount": (0.01, 0.02, 0.03, 0.05, 0.07)},
    "speckle_noise": {"scale": (0.06, 0.1, 0.12, 0.16, 0.2)},
    "gaussian_blur": {"sigma": (0.4, 0.6, 0.7, 0.8, 1.0)},
    "defocus_blur": {"radius": (0.3, 0.4, 0.5, 1.0, 1.5), "alias_blur": (0.4, 0.5, 0.6, 0.2, 0.1)},
    "glass_blur": {"sigma": (0.05, 0.25, 0.4, 0.25, 0.4), "max_delta": 1, "passes": (1, 1, 1, 2, 2)},
    "motion_blur": {"radius": (6, 6, 6, 8, 9), "sigma": (1.0, 1.5, 2.0, 2.0, 2.5)},
    "zoom_blur": {"stop": (1.06, 1.11, 1.16, 1.21, 1.26), "step": 0.01},
    "snow": {
        "loc": (0.1, 0.1, 0.15, 0.25, 0.3),
        "scale": (0.2, 0.2, 0.3, 0.3, 0.3),
        "factor": (1.0, 1.0, 1.75, 2.25, 1.25),
        "threshold": (0.6, 0.5, 0.55, 0.6, 0.65),
        "radius": (8, 10, 10, 12, 14),
        "sigma": (3, 4, 4, 6, 12),
        "blend": (0.95, 0.9, 0.9, 0.85, 0.8),
    },
    "frost": {
        "image_weight": (1.0, 1.0, 0.9, 0.85, 0.75),
        "frost_weight": (0.2, 0.3, 0.4, 0.4, 0.45),
        "reduced_by": 5,
        "side": 32,
    },
    "fog": {"amount": (0.2, 0.5, 0.75, 1.0, 1.5), "decay": (3.0, 3.0, 2.5, 2.0, 1.75)},
    "brightness": {"amount": (0.05, 0.1, 0.15, 0.2, 0.3)},
    "spatter": {
        "loc": (0.62, 0.65, 0.65, 0.65, 0.65),
        "scale": (0.1, 0.1, 0.3, 0.1, 0.1),
        "sigma": (0.7, 0.8, 1.0, 0.7, 0.5),
        "threshold": (0.7, 0.7, 0.69, 0.69, 0.68),
        "strength": (0.5, 0.5, 0.5, 0.6, 0.6),
        "mud": _MUD,
    },
    "contrast": {"factor": (0.75, 0.5, 0.4, 0.3, 0.15)},
    "saturate": {"factor": (0.3, 0.1, 1.5, 2.0, 2.5), "offset": (0.0, 0.0, 0.0, 0.1, 0.2)},
    "jpeg_compression": {"quality": (80, 65, 58, 50, 40)},
    "pixelate": {"fraction": (0.95, 0.9, 0.85, 0.75, 0.65)},
    "elastic_transform": {
        "alpha": (0.0, 1.6, 2.56, 3.2, 3.2),
        "sigma": (0.0, 6.4, 1.92, 1.28, 0.96),
        "affine": (2.56, 2.24, 1.92, 1.6, 0.96),
        "side": 32,
    },
}

_TINY_IMAGENET: Mapping[str, _Parameters] = {
    "gaussian_noise": {"scale": (0.04, 0.08, 0.12, 0.15, 0.18)},
    "shot_noise": {"rate": (250, 100, 50, 30, 15)},
    "impulse_noise": {"amount": (0.01, 0.02, 0.05, 0.08, 0.14)},
    "speckle_noise": {"scale": (0.15, 0.2, 0.25, 0.3, 0.35)},
    "gaussian_blur": {"sigma": (0.5, 0.75, 1.0, 1.25, 1.5)},
    "defocus_blur": {"radius": (0.5, 1.0, 1.5, 2.5, 3.0), "alias_blur": (0.6, 0.1, 0.1, 0.01, 0.1)},
    "glass_blur": {"sigma": (0.1, 0.5, 0.6, 0.7, 0.9), "max_delta": (1, 1, 1, 2, 2), "passes": (1, 1, 2, 1, 2)},
    "motion_blur": {"radius": (10, 10, 10, 10, 12), "sigma": (1.0, 1.5, 2.0, 2.5, 3.0)},
    "zoom_blur": _CIFAR10["zoom_blur"],
    "snow": {**_CIFAR10["snow"], "blend": (0.8, 0.8, 0.7, 0.65, 0.6)},
    "frost": {
        "image_weight": (1.0, 0.9, 0.8, 0.75, 0.7),
        "frost_weight": (0.3, 0.4, 0.45, 0.5, 0.55),
        "reduced_by": 1 / 0.3,
        "side": 64,
    },
    "fog": {"amount": (0.4, 0.7, 1.0, 1.5, 2.0), "decay": (3.0, 3.0, 2.5, 2.0, 1.75)},
    "brightness": {"amount": (0.1, 0.2, 0.3, 0.4, 0.5)},
    "spatter": {**_CIFAR10["spatter"], "threshold": (0.7, 0.7, 0.69, 0.68, 0.67), "strength": 0.6},
    "contrast": {"factor": (0.4, 0.3, 0.2, 0.1, 0.05)},
    "saturate": {"factor": (0.3, 0.1, 2.0, 5.0, 30.0), "offset": (0.0, 0.0, 0.0, 0.1, 0.2)},
    "jpeg_compression": {"quality": (65, 58, 50, 40, 25)},
    "pixelate": {"fraction": (0.9, 0.8, 0.7, 0.6, 0.5)},
    "elastic_transform": {
        "alpha": (0.0, 3.2, 6.4, 6.4, 10.24),
        "sigma": (0.0, 19.2, 5.12, 1.92, 1.92),
        "affine": (5.12, 3.84, 3.84, 1.92, 1.28),
        "side": 64,
    },
}

_IMAGENET: Mapping[str, _Parameters] = {
    "gaussian_noise": {"scale": (0.08, 0.12, 0.18, 0.26, 0.38)},
    "shot_noise": {"rate": (60, 25, 12, 5, 3)},
    "impulse_noise": {"amount": (0.03, 0.06, 0.09, 0.17, 0.27)},
    "speckle_noise": {"scale": (0.15, 0.2, 0.35, 0.45, 0.6)},
    "gaussian_blur": {"sigma": (1.0, 2.0, 3.0, 4.0, 6.0)},
    "defocus_blur": {"radius": (3, 4, 6, 8, 10), "alias_blur": (0.1, 0.5, 0.5, 0.5, 0.5)},
    "glass_blur": {"sigma": (0.7, 0.9, 1.0, 1.1, 1.5), "max_delta": (1, 2, 2, 3, 4), "passes": (2, 1, 3, 2, 2)},
    "motion_blur": {"radius": (10, 15, 15, 15, 20), "sigma": (3, 5, 8, 12, 15)},
    "zoom_blur": {"stop": (1.11, 1.16, 1.21, 1.26, 1.31), "step": (0.01, 0.01, 0.02, 0.02, 0.03)},
    "snow": {
        "loc": (0.1, 0.2, 0.55, 0.55, 0.55),
        "scale": 0.3,
        "factor": (3.0, 2.0, 4.0, 4.5, 2.5),
        "threshold": (0.5, 0.5, 0.9, 0.85, 0.85),
        "radius": (10, 12, 12, 12, 12),
        "sigma": (4, 4, 8, 8, 12),
        "blend": (0.8, 0.7, 0.7, 0.65, 0.55),
    },
    "frost": {
        "image_weight": (1.0, 0.8, 0.7, 0.65, 0.6),
        "frost_weight": (0.4, 0.6, 0.7, 0.7, 0.75),
        "reduced_by": 1,
        "side": 224,
    },
    "fog": {"amount": (1.5, 2.0, 2.5, 2.5, 3.0), "decay": (2.0, 2.0, 1.7, 1.5, 1.4)},
    "brightness": {"amount": (0.1, 0.2, 0.3, 0.4, 0.5)},
    "spatter": {
        "loc": (0.65, 0.65, 0.65, 0.65, 0.67),
        "scale": (0.3, 0.3, 0.3, 0.3, 0.4),
        "sigma": (4.0, 3.0, 2.0, 1.0, 1.0),
        "threshold": (0.69, 0.68, 0.68, 0.65, 0.65),
        "strength": (0.6, 0.6, 0.5, 1.5, 1.5),
        "mud": _MUD,
    },
    "contrast": {"factor": (0.4, 0.3, 0.2, 0.1, 0.05)},
    "saturate": {"factor": (0.3, 0.1, 2.0, 5.0, 20.0), "offset": (0.0, 0.0, 0.0, 0.1, 0.2)},
    "jpeg_compression": {"quality": (25, 18, 15, 10, 7)},
    "pixelate": {"fraction": (0.6, 0.5, 0.4, 0.3, 0.25)},
    "elastic_transform": {  # the published factors of 0.1, 0.7, ..., times 244: meant to be the side, which is 224
        "alpha": (488.0, 488.0, 12.2, 17.08, 29.28),
        "sigma": (170.8, 19.52, 2.44, 2.44, 2.44),
        "affine": (24.4, 48.8, 4.88, 4.88, 4.88),
        "side": 224,
    },
}

# C-bar, in the published order and spelling: the values that the generators compute from a level from 0 to 10.
BAR_CIFAR10: Mapping[str, _Parameters] = {
    "blue_noise_sample": {"threshold": (-2.29, -2.08, -1.87, -1.45, -1.24)},
    "checkerboard_cutout": {"fraction": (0.1, 0.2, 0.3, 0.4, 0.5)},
    "inverse_sparkles": {"falloff": (0.13, 0.195, 0.325, 0.585, 0.65)},
    "pinch_and_twirl": {"pinch": (0.32, 0.34, 0.36, 0.44, 0.5), "degrees": (49.5, 54.0, 58.5, 76.5, 90.0)},
    "ripple": {"amplitude": (0.01375, 0.015, 0.01625, 0.01875, 0.02)},
    "brownish_noise": {"scale": (16.0, 25.6, 35.2, 41.6, 44.8)},
    "circular_motion_blur": {"degrees": (4.2, 5.4, 6.6, 7.8, 9.0)},
    "lines": {"density": (0.05, 0.1, 0.15, 0.2, 0.25)},
    "sparkles": {"share": (0.007, 0.035, 0.056, 0.063, 0.07)},
    "transverse_chromatic_abberation": {"excess": (0.05, 0.1, 0.25, 0.45, 0.5)},
}

BAR_IMAGENET: Mapping[str, _Parameters] = {
    "caustic_refraction": {
        "lens": (0.1175, 0.16, 0.245, 0.33, 0.4575),
        "light": (0.47, 0.64, 0.98, 1.32, 1.83),
    },
    "inverse_sparkles": {"falloff": (0.13, 0.26, 0.52, 1.17, 1.3)},
    "sparkles": {"share": (0.01, 0.02, 0.03, 0.05, 0.06)},
    "perlin_noise": {"share": (0.23, 0.26, 0.29, 0.38, 0.44)},
    "blue_noise_sample": {"threshold": (-2.26, -2.02, -1.78, -1.3, -0.82)},
    "plasma_noise": {"strength": (30.4, 44.8, 54.4, 59.2, 64.0)},
    "checkerboard_cutout": {"fraction": (0.2, 0.3, 0.4, 0.5, 0.6)},
    "cocentric_sine_waves": {"strength": (38.4, 64.0, 102.4, 115.2, 128.0)},
    "single_frequency_greyscale": {"strength": (19.6, 29.4, 39.2, 88.2, 98.0)},
    "brownish_noise": {"scale": (6.4, 12.8, 19.2, 25.6, 32.0)},
}

# Where only one of the two C-bar sets has a corruption, its parameters serve at every size.
_ALL: Mapping[Table, Mapping[str, _Parameters]] = {
    "cifar10": {**_CIFAR10, **BAR_IMAGENET, **BAR_CIFAR10},
    "tiny-imagenet": {**_TINY_IMAGENET, **BAR_IMAGENET, **BAR_CIFAR10},
    "imagenet": {**_IMAGENET, **BAR_CIFAR10, **BAR_IMAGENET},
}


def find_table(table: TableChoice, height: int, width: int) -> Table:
    """The table of parameters for images of a size.

    Args:
        table: ``"auto"`` takes CIFAR-10-C's where the shorter side is below 48 pixels, Tiny-ImageNet-C's where it is
            below 112, else ImageNet-C's. One of `TABLES` is taken at any size.
        height: Height of the images in pixels.
        width: Their width in pixels.

    Raises:
        ValueError: If there is no such table.

    Examples:
        >>> find_table("auto", 32, 32), find_table("auto", 375, 500), find_table("tiny-imagenet", 375, 500)
        ('cifar10', 'imagenet', 'tiny-imagenet')
    """
    if table == "auto":
        return next((small for limit, small in _LIMITS if min(height, width) < limit), "imagenet")
    if table not in TABLES:
        raise ValueError(f"table must be auto, {', '.join(TABLES)}, got {table!r}")
    return table


def parameters(name: str, table: Table, severity: int) -> dict[str, Any]:
    """The parameters of a built-in corruption at a severity, by the keyword that takes each.

    Examples:
        >>> parameters("zoom_blur", "imagenet", severity=5)
        {'stop': 1.31, 'step': 0.03}
    """
    columns = _ALL[table][name]
    return {key: value[severity - 1] if isinstance(value, tuple) else value for key, value in columns.items()}
