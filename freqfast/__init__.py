"""freqfast: the frequency content of a CNN's first layer, in fastai.

Public names load on first use, so that importing the package costs neither torch nor fastai.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
