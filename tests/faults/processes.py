"""What runs in a process of its own, for tests to kill and to signal."""

import os
import resource
import signal
import sys
from pathlib import Path

from tests.support.forked import prepare


def train(cache, out, tree, recipe, limit=0):
    """Start or go on with a run of a recipe (TOML), under a limit on the size of files in bytes; 0 for none."""
    from freqfast.runs.recipe import Recipe
    from freqfast.training import RunStoppedError, run_recipe
    from tests.support.tiny import OFTEN

    prepare({"FREQFAST_CACHE": cache})
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        run_recipe(Recipe.from_toml(recipe), out, tree, "cpu", resume=True, policy=OFTEN)
    except (OSError, RunStoppedError) as error:
        Path(f"{out}.error").write_text(str(error))
        sys.exit(1)


def command(cache, streams, is_quick, *words):
    """Run the command line with both streams in a file or a terminal."""
    from freqfast.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if the tests run in a shell's background
    os.setsid()  # so that a terminal opened now is this process's own
    handle = os.open(streams, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(handle, standard)
    prepare({"FREQFAST_CACHE": cache}, is_quick)
    sys.argv = ["freqfast", *map(str, words)]
    main()
