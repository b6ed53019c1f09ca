"""The device "second", for tests on a machine without a GPU: ``pytest -p tests.device.second``; see second.cpp."""

from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import torch
from torch.utils.cpp_extension import load


class Second(ModuleType):
    """What ``torch.second`` has, as ``torch.cuda``."""

    def __getattr__(self, name):
        found = {"is_available": True, "is_initialized": True, "_is_in_bad_fork": False, "device_count": 1}
        found |= {"get_amp_supported_dtype": [torch.bfloat16], "device": nullcontext(), "current_device": 0}
        if name not in found:
            raise AttributeError(name)
        return lambda *args: found[name]

    def manual_seed_all(self, seed):
        """Nothing: the generator is the CPU's."""


extension = load("second", [str(Path(__file__).with_suffix(".cpp"))], extra_cflags=["-O1"])
torch.utils.rename_privateuse1_backend("second")
torch._register_device_module("second", Second("torch.second"))
torch.utils.generate_methods_for_privateuse1_backend()
extension.register_hooks()

# Parameters keep their identity when a model moves, as they do between the CPU and CUDA.
swap = torch.utils.swap_tensors
torch.utils.swap_tensors = lambda old, new: (
    None if (old.device, old.dtype) == (new.device, new.dtype) else swap(old, new)
)
torch.__future__.get_swap_module_params_on_conversion = lambda: not torch.is_inference_mode_enabled()
