"""A small model as a model file holds it."""

import json
import struct

from freqfast.models.build import ModelSpec
from freqfast.models.file import StoredModel
from tests.support import networks  # noqa: F401 (registers its model)

OPTIONS = {"width": 8, "kernel_size": 3}


def stored_model(classes, mean=(0.5,) * 3, std=(0.25,) * 3, name="tiny"):
    """A network of random weights: the tiny one, or "resnet18" of the smallest width."""
    spec = ModelSpec(name, {**OPTIONS, "classes": len(classes)})
    return StoredModel(spec.build(), spec, tuple(classes), mean, std)


def stored_header(path):
    """The description in a model file, as JSON values."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["freqfast"])
