"""Networks of transformers that come back with the parts that they were saved with.

Once this module is imported, ``from_pretrained`` of a local folder restores gains, equalizers and low-passes that the
saved network has, or raises a ValueError. Without it, transformers leaves them out with a warning.
"""

from functools import wraps
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from freqfast.models.parts import PART_NAMES
from freqfast.models.weights import load_weights


def _restoring(original: Any) -> Any:
    @wraps(original)
    def from_pretrained(cls: Any, path: Any, *args: Any, output_loading_info: bool = False, **options: Any) -> Any:
        model, info = original(cls, path, *args, output_loading_info=True, **options)
        if not PART_NAMES.isdisjoint(key.rpartition(".")[2] for key in info["unexpected_keys"]):
            file = Path(path, options.get("subfolder") or "", "model.safetensors")
            if not file.is_file():
                raise ValueError(f"{path} has parts of freqfast, which only a local model.safetensors can restore")
            load_weights(model, file)
        return (model, info) if output_loading_info else model

    return classmethod(from_pretrained)


PreTrainedModel.from_pretrained = _restoring(PreTrainedModel.from_pretrained.__func__)  # type: ignore[method-assign]
