"""Labelled images in memory or in files, how they are loaded, and DataLoaders of them."""

from freqfast.data.folders import find_images, list_images, load_tree
from freqfast.data.image_files import ImageFiles
from freqfast.data.images import ImageData, Images
from freqfast.data.loading import DataSource, load_data
from freqfast.preprocessing import Preprocessing

__all__ = [
    "DataSource",
    "ImageData",
    "ImageFiles",
    "Images",
    "Preprocessing",
    "find_images",
    "list_images",
    "load_data",
    "load_tree",
]
