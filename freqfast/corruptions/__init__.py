"""The 19 corruptions of CIFAR-10-C and ImageNet-C, and those of their C-bar sets, seeded, for images of any size."""

from freqfast.corruptions.batch import corrupt, try_corruptions
from freqfast.corruptions.registry import (
    C_BAR,
    CORRUPTIONS,
    EXTRA,
    FAMILIES,
    IMAGENET_C_BAR,
    MAIN,
    MEANS,
    SETS,
    SEVERITIES,
    Corruption,
    available,
    find_set,
    plugin_corruptions,
    runnable,
    unavailable,
)
from freqfast.corruptions.streams import BatchRandom
from freqfast.corruptions.tables import TABLES, find_table

__all__ = [
    "CORRUPTIONS",
    "C_BAR",
    "EXTRA",
    "FAMILIES",
    "IMAGENET_C_BAR",
    "MAIN",
    "MEANS",
    "SETS",
    "SEVERITIES",
    "TABLES",
    "BatchRandom",
    "Corruption",
    "available",
    "corrupt",
    "find_set",
    "find_table",
    "plugin_corruptions",
    "runnable",
    "try_corruptions",
    "unavailable",
]
