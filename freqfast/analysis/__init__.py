"""Analyses of trained models: how frequencies affect what they classify.

An analysis is a module: its function (pure: it returns a record of NumPy arrays), its result, its figure and the words
beside it, put together in an `Analysis`. `find_analysis` finds freqfast's and other packages' analyses by name. Names
load on first use, so that a list of names does not import torch.

>>> import freqfast.analysis
>>> freqfast.analysis.filter_quality([[[[0, 1, 0]]], [[[1, 0, 0]]]]).orthogonality
1.0
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
