"""What a sound model file holds."""

import json
import struct

SPEC = {"name": "resnet18", "width": 8, "kernel_size": 3, "classes": 3}
CLASSES, MEAN, STD = ("ant", "bee", "größe"), (0.1, 0.2, 0.3), (1.0, 0.5, 1 / 3)


def sound_header(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["freqfast"])
