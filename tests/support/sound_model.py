"""A small network as a model file holds it."""

import json
import struct

from freqfast.models.build import ModelSpec
from freqfast.models.network import Network
from freqfast.preprocessing import Preprocessing
from tests.support import networks  # (registers its model)

OPTIONS = {"width": 8, "kernel_size": 3}


def stored_network(classes, mean=networks.HALF, std=networks.QUARTER, name="tiny"):
    """A network of random weights: the tiny one, or "resnet18" of the smallest width."""
    spec = ModelSpec(name, {**OPTIONS, "classes": len(classes)})
    return Network(name, spec.build(), Preprocessing(mean, std), tuple(classes), spec)


def stored_header(path):
    """The description in a model file, as JSON values."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["freqfast"])
