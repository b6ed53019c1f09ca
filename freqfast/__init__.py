"""freqfast: the frequency content of a CNN's first layer, in fastai.

Public names and packages load on first use, so that ``import freqfast`` costs neither torch nor fastai.
"""

import lazy_loader

__version__ = "0.3.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
