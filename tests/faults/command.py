"""The command line in a process of its own, for tests to kill and to signal.

Arguments: cache, file or terminal for both streams, "quick" for two corruptions only or "whole", words of the command.
"""

import os
import signal
import sys

import torch
from freqfast.cli.main import main

from freqfast.training import outcome

if __name__ == "__main__":
    os.environ["FREQFAST_CACHE"], streams, speed, *words = sys.argv[1:]
    os.environ.pop("FREQFAST_DATA", None)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
    os.setsid()  # so that a terminal opened now is this process's own
    handle = os.open(streams, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(handle, standard)
    torch.set_num_threads(1)
    if speed == "quick":
        outcome.available = lambda: ("pixelate", "contrast")
    sys.argv = ["freqfast", *words]
    main()
