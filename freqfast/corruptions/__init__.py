"""The 19 corruptions of CIFAR-10-C for any test set: batched, seeded, and faithful to the published data.

>>> import numpy as np
>>> from freqfast.corruptions import corrupt
>>> images = np.full((2, 32, 32, 3), 128, dtype=np.uint8)
>>> corrupt(images, "brightness", severity=4)[0, 0, 0]
array([179, 179, 179], dtype=uint8)
"""

from freqfast.corruptions.batch import corrupt
from freqfast.corruptions.registry import (
    CORRUPTIONS,
    ENTRY_POINT_GROUP,
    EXTRA,
    FAMILIES,
    MAIN,
    SEVERITIES,
    Corruption,
    available,
    own_corruptions,
    unavailable,
)
from freqfast.corruptions.streams import BatchRandom

__all__ = [
    "CORRUPTIONS",
    "ENTRY_POINT_GROUP",
    "EXTRA",
    "FAMILIES",
    "MAIN",
    "SEVERITIES",
    "BatchRandom",
    "Corruption",
    "available",
    "corrupt",
    "own_corruptions",
    "unavailable",
]
