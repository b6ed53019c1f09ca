"""The names of the corruptions, their sets and families, and where their functions are.

A new corruption of a benchmark is a function ``(images, rng, ...)``, its parameters in `tables` and an entry here. Any
other is, in another package, a function `Corruption` and an entry point ``freqfast.corruptions``.
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from freqfast.corruptions.photographs import find_photographs
from freqfast.corruptions.tables import BAR_CIFAR10, BAR_IMAGENET, Table, parameters
from freqfast.plugins import find_plugins, load_plugin

if TYPE_CHECKING:
    from torch import Tensor

    from freqfast.corruptions.streams import BatchRandom

Corruption: TypeAlias = "Callable[[Tensor, int, BatchRandom], Tensor]"
"""``(images, severity, rng) -> images``: uint8 ``(n, 3, H, W)`` in and out, severity 1 to 5.

Image ``k`` of the batch may draw only from row ``k`` of what ``rng`` gives, and its result may not depend on the other
images: ``corrupt`` cuts batches as it likes. The function may overwrite the images.
"""

FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
"""The families of Hendrycks and Dietterich (2019): the main corruptions, and last the extra one that validates them."""

MAIN = tuple(name for names in FAMILIES.values() for name in names[:-1])
"""The 15 corruptions that papers average over, in the order of the benchmark's tables."""

EXTRA = tuple(names[-1] for names in FAMILIES.values())
"""The other 4 of the published archive, meant for validation."""

CORRUPTIONS = MAIN + EXTRA
"""All 19, main ones first."""

C_BAR = tuple(BAR_CIFAR10)
"""The 10 of CIFAR-10-C-bar: made to be unlike the 19, hence a check on results."""

MEAN7 = (*FAMILIES["weather"][:4], "elastic_transform", "pixelate", "jpeg_compression")
"""The main ones without noises, blurs and contrast: no method here trains on these seven directly."""

IMAGENET_C_BAR = tuple(BAR_IMAGENET)
"""The 10 of ImageNet-C-bar, five of which are not in `C_BAR`."""

# Functions by module; all others are in the module of their family.
_FUNCTIONS = {
    "elastic": ("elastic_transform",),
    "spatter": ("spatter",),
    "c_bar.caustics": ("caustic_refraction",),
    "c_bar.covers": ("checkerboard_cutout", "inverse_sparkles", "lines", "sparkles"),
    "c_bar.lenses": ("circular_motion_blur", "transverse_chromatic_abberation"),
    "c_bar.patterns": ("cocentric_sine_waves", "plasma_noise", "single_frequency_greyscale"),
    "c_bar.perlin": ("perlin_noise",),
    "c_bar.spectral": ("blue_noise_sample", "brownish_noise"),
    "c_bar.warps": ("pinch_and_twirl", "ripple"),
}
_MODULES = {name: module for module, names in (FAMILIES | _FUNCTIONS).items() for name in names}

SETS = {"c": CORRUPTIONS, "bar": C_BAR}
"""The built-in corruptions by benchmark: the 19, on which everything runs by default, and CIFAR-10-C-bar.

`find_set` has ImageNet-C-bar as well.
"""

MEANS: dict[str, tuple[str, ...]] = {
    "mean15": MAIN,
    "mean7": MEAN7,
    "mean19": CORRUPTIONS,
    "mean_bar": C_BAR,
    "mean_bar_imagenet": IMAGENET_C_BAR,
    **{family: names[:-1] for family, names in FAMILIES.items()},
}
"""The corruptions of each mean, by its name; a family's mean is over its main corruptions."""

HEADLINES = tuple(name for name in MEANS if name not in FAMILIES)
"""The means over a benchmark, or over a part of it that is no family, in the order in which they are reported."""

SEVERITIES = (1, 2, 3, 4, 5)


def plugin_corruptions() -> tuple[str, ...]:
    """Names that installed packages register as entry points ``freqfast.corruptions``, sorted.

    Examples:
        >>> "fog" in plugin_corruptions()  # is one of ours
        False
    """
    return tuple(name for name in find_plugins("corruptions") if name not in _MODULES)


def runnable(names: Sequence[str], frost_dir: str | Path | None = None) -> tuple[tuple[str, ...], list[str]]:
    """Those corruptions that can run here, and for each of the others a line that says why not and what to do.

    Only ``frost`` can be missing: its photographs are not part of freqfast.

    Args:
        names: Corruptions.
        frost_dir: Folder of the photographs; by default those of an installed package. A FileNotFoundError is raised if
            a given folder lacks them.

    Examples:
        >>> runnable(["snow", "fog"])
        (('snow', 'fog'), [])
    """
    try:
        find_photographs(frost_dir)
    except FileNotFoundError as error:
        if frost_dir is not None:
            raise
        others = tuple(name for name in names if name != "frost")
        return others, [f"frost is left out: {error}"] * ("frost" in names)
    return tuple(names), []


def available() -> tuple[str, ...]:
    """What models are evaluated on by default: those of the 19 that can run here, in order, then the registered ones.

    Examples:
        >>> available()[:2]
        ('gaussian_noise', 'shot_noise')
    """
    return runnable(CORRUPTIONS)[0] + plugin_corruptions()


def find_set(which: str, table: Table) -> tuple[str, ...]:
    """The corruptions of a benchmark for images of a size, by name of a set in `SETS`.

    Args:
        which: ``"c"``, the same 19 at every size, or ``"bar"``.
        table: See `freqfast.corruptions.find_table`; ``"imagenet"`` has a C-bar of its own.

    Examples:
        >>> find_set("bar", "imagenet")[:2]
        ('caustic_refraction', 'inverse_sparkles')
    """
    return IMAGENET_C_BAR if (which, table) == ("bar", "imagenet") else SETS[which]


def known_names() -> tuple[str, ...]:
    """Names of all corruptions, those of other packages last; nothing is imported."""
    return (*dict.fromkeys((*CORRUPTIONS, *C_BAR, *IMAGENET_C_BAR)), *plugin_corruptions())


def check_names(names: Iterable[str]) -> None:
    """Refuse unknown names, by a ValueError that lists the known ones; nothing is imported."""
    known = known_names()
    for name in names:
        if name not in known:
            raise ValueError(f"no corruption is called {name!r}; there are {', '.join(known)}")


def find_corruption(name: str, frost_dir: str | Path | None = None, table: Table = "cifar10") -> Corruption:
    """The function of a corruption; a built-in one has its parameters from the table.

    Raises:
        ValueError: If there is no such corruption, or the package that registers it cannot be imported.
        FileNotFoundError: If the photographs of ``frost`` are asked for and missing.
    """
    if name in _MODULES:
        function = getattr(importlib.import_module(f"freqfast.corruptions.{_MODULES[name]}"), name)
        files = {"photographs": find_photographs(frost_dir)} if name == "frost" else {}
        return lambda images, severity, rng: function(images, rng, **parameters(name, table, severity), **files)
    check_names([name])
    point = find_plugins("corruptions")[name]
    found = load_plugin("corruptions", point)
    if not callable(found):
        raise ValueError(f"corruption entry point {name!r} ({point.value}) is no function")
    return cast(Corruption, found)
