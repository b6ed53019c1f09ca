"""The command line in this process."""

import sys

import pytest
from freqfast.cli.main import main


def exit_code(*words):
    """Runs the command line, from the words to the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["freqfast", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0
