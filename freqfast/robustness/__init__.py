"""Accuracy under corruption: model and corrupted images in, a result out.

Data flows one way. `archive` and `sources` make a `CellSource` (`cells`) from what a user names: a folder of corrupted
images, or a test set that is corrupted on the fly. `evaluation` passes its cells one by one through a `Classifier` and
keeps the `Outcomes` of each cell, in integers, and one `Provenance` for all. A `CorruptionResult` holds these and
computes figures from them (`metrics`); it can be saved, loaded and merged. `comparison` compares two results.

>>> from freqfast.robustness.metrics import wilson_interval
>>> low, high = wilson_interval(right=90, total=100)
>>> round(low, 3), round(high, 3)
(0.826, 0.945)

Names load on first use, so that reading a result does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
