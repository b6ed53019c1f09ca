"""A small model as a model file holds it."""

import json
import struct

from freqfast.models.build import ModelSpec
from freqfast.models.file import StoredModel

OPTIONS = {"width": 8, "kernel_size": 3}


def stored_model(classes, mean=(0.5,) * 3, std=(0.25,) * 3):
    """A ResNet-18 of the smallest width, with random weights."""
    spec = ModelSpec("resnet18", {**OPTIONS, "classes": len(classes)})
    return StoredModel(spec.build(), spec, tuple(classes), mean, std)


def stored_header(path):
    """The description in a model file, as JSON values."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["freqfast"])
