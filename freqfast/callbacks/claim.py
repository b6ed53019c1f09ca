"""Which convolution a callback works on, shared by the callbacks that change it."""

from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn

from freqfast.surgery import find_conv

__all__ = ["claim_conv"]


def claim_conv(callback: Callback, learn: Learner) -> nn.Conv2d:
    """The convolution that a callback's `layer` names, unless another callback of its class works on it already.

    Raises:
        ValueError: If there is no such layer, or it is taken (as happens when a notebook's cell runs twice).
    """
    _, conv = find_conv(learn.model, callback.layer)
    kind = type(callback)
    for other in learn.cbs:
        if type(other) is kind and other is not callback and find_conv(learn.model, other.layer)[1] is conv:
            raise ValueError(
                f"the Learner has a {kind.__name__} on this layer already; "
                f"call learn.remove_cb({kind.__name__}) before adding another"
            )
    return conv
