"""The 19 corruptions of CIFAR-10-C and the 10 of CIFAR-10-C-bar, seeded, for batches of images of any size."""

from freqfast.corruptions.batch import corrupt, try_corruptions
from freqfast.corruptions.registry import (
    C_BAR,
    CORRUPTIONS,
    EXTRA,
    FAMILIES,
    MAIN,
    MEANS,
    SETS,
    SEVERITIES,
    Corruption,
    available,
    plugin_corruptions,
    runnable,
    unavailable,
)
from freqfast.corruptions.streams import BatchRandom

__all__ = [
    "CORRUPTIONS",
    "C_BAR",
    "EXTRA",
    "FAMILIES",
    "MAIN",
    "MEANS",
    "SETS",
    "SEVERITIES",
    "BatchRandom",
    "Corruption",
    "available",
    "corrupt",
    "plugin_corruptions",
    "runnable",
    "try_corruptions",
    "unavailable",
]
