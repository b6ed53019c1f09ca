"""Recipe to Learner to run directory, resumable at every step.

`build_learner` and `fit_recipe` make and train a Learner as a recipe says; `run_recipe` does that in a run directory,
with checkpoints, and evaluates; `rerun` repeats a run and compares.
"""

from freqfast.progress import RunStoppedError
from freqfast.training.learner import build_callbacks, build_learner, fit_recipe
from freqfast.training.rerun import Repetition, rerun
from freqfast.training.run import run_recipe

__all__ = [
    "Repetition",
    "RunStoppedError",
    "build_callbacks",
    "build_learner",
    "fit_recipe",
    "rerun",
    "run_recipe",
]
