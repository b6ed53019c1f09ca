"""The command line in this process."""

import sys
from functools import cache

import pytest
import typer.main
from freqfast.cli.main import main

get_command = cache(typer.main.get_command)  # made once, as in a process: to make it takes longer than most commands


def exit_code(*words):
    """Runs the command line, from the words to the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["freqfast", *map(str, words)])
        patch.setattr(typer.main, "get_command", get_command)
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0
