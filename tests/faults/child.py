"""A run in a process of its own, for tests to kill.

Arguments: cache, run directory, data, recipe (TOML), limit on the size of files (0 for none).
"""

import os
import resource
import sys
from pathlib import Path

import torch

from freqfast.runs.recipe import Recipe
from freqfast.training import environment, outcome, run_recipe
from freqfast.training.checkpoint import CheckpointPolicy

if __name__ == "__main__":
    os.environ["FREQFAST_CACHE"], out, tree, recipe, limit = sys.argv[1:]
    torch.set_num_threads(1)
    environment._git_state = lambda: None  # as the tests have it
    outcome.available = lambda: ("pixelate", "contrast")
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    often = CheckpointPolicy(minutes=0, share=1)
    try:
        run_recipe(Recipe.from_toml(recipe), out, tree, "cpu", resume=True, policy=often)
    except OSError as error:
        Path(f"{out}.error").write_text(str(error))
        sys.exit(1)
