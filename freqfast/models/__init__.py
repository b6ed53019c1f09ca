"""Networks: how they are built, stored, named and asked for predictions.

A `Network` (`network`) is a module with all that is needed to feed it and to name it. `sources` reads one from what a
user names: `file` from a model file, `build` by name and options from `resnet`, timm, torchvision or another package;
`state_dicts` and `weights` read weights that others saved, together with the `parts` that they were trained with. A
`Classifier` (`classifier`) makes it ready for inference, and `folding` faster there. `start` makes one to be trained,
and `zoo` has trained ones.
Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

SOURCES = (
    "a run directory, freqfast's .safetensors, zoo:NAME, timm:NAME, torchvision:NAME, package.module:callable, "
    "file.py:callable or a .toml file"
)
"""What a model may be named by, for messages and help; see `freqfast.load_network`."""

MODEL_FILE = "model.safetensors"
"""What a model file is called in a run directory, and wherever a folder is named in its place."""
