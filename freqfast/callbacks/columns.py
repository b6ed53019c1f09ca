"""Band proportions as columns of fastai's progress table."""

import math
from typing import Any

from fastai.learner import Recorder
from torch import nn

from freqfast.callbacks.base import FitCallback
from freqfast.methods.base import OnLayer
from freqfast.spectral.bands import Bands, frequency_proportion
from freqfast.spectral.modulation import effective_weight


class BandColumns(FitCallback, OnLayer):
    """Adds the first convolution's frequency proportion to the table, one column per band, in fits only.

    The columns go through the `Recorder` rather than through `learn.metrics`, so that what `validate` returns does not
    change. Subclasses set `bands` and `layer`, and refuse in `_install` a model that lacks the layer.
    """

    # After Recorder, which makes the header in before_fit and the row in after_validate; before ProgressCallback and
    # CSVLogger, which read them ten later.
    order = Recorder.order + 5
    bands: Bands
    _shown = False  # also when added in the middle of a fit: its header is written already

    def _uninstall(self, model: nn.Module) -> None:
        self._shown = False

    def before_fit(self) -> None:
        """Add the band names to the header, unless it has one of them: columns of two callbacks do not mix."""
        recorder: Any = getattr(self.learn, "recorder", None)
        names: Any = getattr(recorder, "metric_names", None)  # absent of a Learner that was never fitted
        self._shown = names is not None and not set(self.bands.names) & set(names)
        if self._shown:
            at = len(names) - int(recorder.add_time)
            recorder.metric_names = names[:at] + list(self.bands.names) + names[at:]

    def after_validate(self) -> None:
        """Add the row's values after the metrics."""
        recorder = getattr(self.learn, "recorder", None)  # fastai's FetchPredsCallback takes it out meanwhile
        if self._shown and self.learn.train_iter and recorder is not None:  # 0 steps: no fit, but `validate`
            weight, row = effective_weight(self.conv), [math.nan] * len(self.bands)
            if weight.isfinite().all():  # else diverged: nan, as the losses show
                row = frequency_proportion(weight, self.bands).tolist()
            recorder.log += row
