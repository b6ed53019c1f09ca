"""Band proportions as columns of fastai's progress table, shared by the callbacks that know them."""

from fastai.callback.core import Callback

from freqfast.bands import Bands, frequency_proportion
from freqfast.modulation import effective_weight
from freqfast.surgery import find_conv

__all__ = ["BandColumns"]


class BandColumns(Callback):
    """Adds the first convolution's frequency proportion to the table, one column a band, in fits only.

    The columns go through the `Recorder` rather than through `learn.metrics`, so that what `validate` returns does not change.
    Subclasses set `bands` and `layer`.
    """

    # After Recorder (50), which makes the header in before_fit and the row in after_validate; before ProgressCallback and
    # CSVLogger (60), which read them.
    order = 55
    bands: Bands
    layer: str | None
    _trained = False

    def before_fit(self) -> None:
        """Add the header's names, unless another callback of this family has."""
        recorder = getattr(self.learn, "recorder", None)
        self._columns = (
            [] if recorder is None else [n for n in self.bands.names if n not in recorder.metric_names]
        )
        if self._columns:
            at = len(recorder.metric_names) - int(recorder.add_time)
            recorder.metric_names = recorder.metric_names[:at] + self._columns + recorder.metric_names[at:]

    def before_epoch(self) -> None:
        """Forget the last epoch."""
        self._trained = False

    def before_train(self) -> None:
        """Remember that this epoch trains; `validate` has none."""
        self._trained = True

    def after_validate(self) -> None:
        """Add the row's values after the metrics."""
        recorder = getattr(self.learn, "recorder", None)
        if self._trained and self._columns and recorder is not None:
            _, conv = find_conv(self.learn.model, self.layer)
            proportion = frequency_proportion(effective_weight(conv), self.bands).tolist()
            recorder.log += [proportion[self.bands.index(name)] for name in self._columns]
