"""Which corruptions there are, what they are called, and where their functions lie."""

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

from torch import Tensor

from freqfast.corruptions.streams import BatchRandom
from freqfast.plugins import find_plugins, load_plugin

Corruption: TypeAlias = Callable[[Tensor, int, BatchRandom], Tensor]
"""``(images, severity, rng) -> images``: uint8 ``(n, 3, H, W)`` in and out, severity 1 to 5.

Image ``k`` of the batch may draw only from row ``k`` of what ``rng`` gives, and its result may not depend on the other
images: ``corrupt`` cuts batches as it likes. The images are the function's own to overwrite.
"""

MAIN = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 corruptions that papers average over, in the order of the benchmark's tables."""

EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The other 4 of the published archive, meant for validation."""

CORRUPTIONS = MAIN + EXTRA
"""All 19, main ones first."""

FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
"""The families of Hendrycks and Dietterich (2019), each extra one with the family that it validates."""

BAR = (
    "blue_noise_sample",
    "checkerboard_cutout",
    "inverse_sparkles",
    "pinch_and_twirl",
    "ripple",
    "brownish_noise",
    "circular_motion_blur",
    "lines",
    "sparkles",
    "transverse_chromatic_abberation",
)
"""The 10 of CIFAR-10-C-bar, in the published order and spelling: made to be unlike the 19, hence a check on results."""

SETS = {"c": CORRUPTIONS, "bar": BAR}
"""The built-in corruptions by benchmark: CIFAR-10-C, on which everything runs by default, and CIFAR-10-C-bar."""

MEANS: dict[str, tuple[str, ...]] = {
    "mean15": MAIN,
    "mean19": CORRUPTIONS,
    "mean_bar": BAR,
    **{family: tuple(name for name in names if name in MAIN) for family, names in FAMILIES.items()},
}
"""What each mean is over, by its name: a family's is over its main ones."""

SEVERITIES = (1, 2, 3, 4, 5)

_MODULES = {
    **{name: family for family, names in FAMILIES.items() for name in names},
    "spatter": "spatter",  # this one and the next are too long for their family's module
    "elastic_transform": "elastic",
    **dict.fromkeys(BAR, "bar"),
}


def own_corruptions() -> tuple[str, ...]:
    """Names that installed packages register under the entry point ``freqfast.corruptions``, sorted."""
    return tuple(name for name in find_plugins("corruptions") if name not in _MODULES)


def unavailable(frost_dir: str | Path | None = None) -> dict[str, str]:
    """The built-in corruptions that cannot run here, each with a one-line reason and the way out.

    Only ``frost`` can be missing: its photographs are not ours to ship.

    Raises:
        FileNotFoundError: If the photographs are not in a folder that is named.
    """
    from freqfast.corruptions.photographs import find_photographs

    try:
        find_photographs(frost_dir)
    except FileNotFoundError as error:
        if frost_dir is not None:
            raise
        return {"frost": str(error)}
    return {}


def runnable(names: Sequence[str], frost_dir: str | Path | None = None) -> tuple[tuple[str, ...], list[str]]:
    """Those of the corruptions that can run here, and a line on each of the others: why not, and the way out."""
    reasons = {name: reason for name, reason in unavailable(frost_dir).items() if name in names}
    notes = [f"{name} is left out: {reason} (--frost-dir)" for name, reason in reasons.items()]
    return tuple(name for name in names if name not in reasons), notes


def available() -> tuple[str, ...]:
    """What models are evaluated on here by default: those of the 19 that can run, in order, then the registered ones.

    ``corrupt`` accepts the names in ``BAR`` as well.
    """
    return runnable(CORRUPTIONS)[0] + own_corruptions()


def find_corruption(name: str, frost_dir: str | Path | None = None) -> Corruption:
    """The function behind ``name``.

    Raises:
        ValueError: there is no such corruption, or the package that registers it cannot be imported.
        FileNotFoundError: ``frost`` was asked for and its photographs are not here.
    """
    if name in _MODULES:
        module = importlib.import_module(f"freqfast.corruptions.{_MODULES[name]}")
        function = getattr(module, name)
        if name == "frost":
            from freqfast.corruptions.photographs import find_photographs

            function = partial(function, photographs=find_photographs(frost_dir))
        return cast(Corruption, function)
    if (point := find_plugins("corruptions").get(name)) is not None:
        found = load_plugin("corruptions", point)
        if not callable(found):
            raise ValueError(f"corruption entry point {name!r} ({point.value}) is no function")
        return cast(Corruption, found)
    known = ", ".join((*CORRUPTIONS, *BAR, *own_corruptions()))
    raise ValueError(f"no corruption is called {name!r}; there are {known}")
