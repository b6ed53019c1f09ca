"""Data: CIFAR-10 in any of its layouts, the embedded photographs, in-memory DataLoaders."""

from freqfast.data.images import ImageData, ImageSet
from freqfast.data.loading import load_data

__all__ = ["ImageData", "ImageSet", "load_data"]
