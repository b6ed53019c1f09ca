"""Labelled images in memory or in files, how they are loaded, and DataLoaders of them."""

from freqfast.data.images import ImageData, Images
from freqfast.data.loading import DataSource, load_data

__all__ = ["DataSource", "ImageData", "Images", "load_data"]
