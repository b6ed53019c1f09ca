"""The 19 corruptions of CIFAR-10-C and ImageNet-C, and those of their C-bar sets, seeded, for images of any size.

Names load on first use, so that a list of the corruptions does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
