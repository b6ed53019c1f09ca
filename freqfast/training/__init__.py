"""From a recipe to a trained and evaluated run directory; a training can be resumed at every step.

`build_learner` and `fit_recipe` make and train a Learner as a recipe says; `run_recipe` does that in a run directory,
with checkpoints, and evaluates; `rerun` repeats a run and compares. `evaluate_learner` and `freqfast.analyse` measure
any Learner on its own validation set. `fine_tune` fine-tunes an existing network. `freqfast.training.ranks` trains on
several ranks.
"""

from freqfast.progress import RunStoppedError
from freqfast.training.fine_tune import average_weights, fine_tune, own_labels
from freqfast.training.learner import build_callbacks, build_learner, fit_recipe
from freqfast.training.learner_result import LearnerResult
from freqfast.training.rerun import Repetition, rerun
from freqfast.training.run import run_recipe
from freqfast.training.validation import evaluate_learner

__all__ = [
    "LearnerResult",
    "Repetition",
    "RunStoppedError",
    "average_weights",
    "build_callbacks",
    "build_learner",
    "evaluate_learner",
    "fine_tune",
    "fit_recipe",
    "own_labels",
    "rerun",
    "run_recipe",
]
