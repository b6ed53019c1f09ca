"""Low-pass before strides."""

from freqfast import methods
from freqfast.callbacks.base import MethodCallback


class Antialiasing(methods.Antialiasing, MethodCallback):
    """`freqfast.methods.Antialiasing` in a Learner, attached when it is added."""
