"""The 19 corruptions of CIFAR-10-C, and the 10 of CIFAR-10-C-bar, for any test set: batched, seeded and faithful.

>>> import numpy as np
>>> from freqfast.corruptions import corrupt
>>> images = np.full((2, 32, 32, 3), 128, dtype=np.uint8)
>>> corrupt(images, "brightness", severity=4)[0, 0, 0]
array([179, 179, 179], dtype=uint8)
"""

from freqfast.corruptions.batch import corrupt, try_corruptions
from freqfast.corruptions.registry import (
    BAR,
    CORRUPTIONS,
    EXTRA,
    FAMILIES,
    MAIN,
    MEANS,
    SETS,
    SEVERITIES,
    Corruption,
    available,
    own_corruptions,
    runnable,
    unavailable,
)
from freqfast.corruptions.streams import BatchRandom

__all__ = [
    "BAR",
    "CORRUPTIONS",
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
    "own_corruptions",
    "runnable",
    "try_corruptions",
    "unavailable",
]
