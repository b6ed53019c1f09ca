"""Accuracy under corruption: model and corrupted images in, a result out.

Data flows one way. `archive` and `sources` make a `CellSource` (`cells`) of what a user names: a folder of corrupted
images, or a test set that is corrupted on the fly. `evaluation` takes its cells one by one through a `Classifier` and
keeps `Outcomes` of each, in integers, with the `Provenance` of all. A `CorruptionResult` holds these, computes what
follows from them (`metrics`), is saved, loaded and merged. `comparison` puts two results side by side.

>>> from freqfast.robustness.metrics import wilson_interval
>>> low, high = wilson_interval(right=90, total=100)
>>> round(low, 3), round(high, 3)
(0.826, 0.945)

Names load on first use: to read a result should not cost torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
