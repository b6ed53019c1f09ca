"""Networks: how they are built, stored, named and asked for predictions.

`build` makes a model from a name and options: from `resnet`, timm, torchvision or another package. `file` stores one
with its description and reads it back. `state_dicts` reads weights that others saved, and `weights` loads weights
together with the `parts` that they were trained with. `sources` finds a model that a user names. A `Classifier`
(`classifier`) makes a model ready for inference, and `folding` makes it faster there. `preprocessing` finds how a
model's images are scaled and normalised. `start` gives a new model weights to start from, and `zoo` has trained ones.
Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

SOURCES = (
    "a run directory, freqfast's .safetensors, zoo:NAME, timm:NAME, torchvision:NAME, package.module:callable or "
    "file.py:callable"
)
"""What a model may be named by, for messages and help; see `freqfast.models.sources.load_model`."""

MODEL_FILE = "model.safetensors"
"""What a model file is called in a run directory, and wherever a folder is named in its place."""
