"""Run networks fast on this device; what they compute stays the same, up to rounding.

- `precision` finds devices and chooses between bfloat16 and float32.
- `memory` keeps freed memory in the process, and recognises errors that mean a lack of it.
- `ranks` are the processes that share a task.
- `small_maps` makes convolutions with small feature maps faster in bfloat16 on a CPU with AMX.
"""

import lazy_loader  # type: ignore[import-untyped]

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["memory", "precision", "ranks", "small_maps"])
