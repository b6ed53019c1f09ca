"""An IPython extension for pages that show shell commands: ``%%sh`` prints what they print, in one piece, or fails."""

import os
import subprocess

from IPython.core.interactiveshell import InteractiveShell


def sh(line: str, cell: str) -> None:
    """Run a cell as a shell script without a terminal, so that no progress bar is drawn.

    Raises:
        RuntimeError: If a command fails; the message is its output.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(["bash", "-euc", cell], env=environment, text=True, check=False, **output)  # noqa: S603, S607
    if done.returncode:
        raise RuntimeError(done.stdout)
    print(done.stdout, end="")  # noqa: T201


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Replace IPython's own ``%%sh``."""
    shell.register_magic_function(sh, "cell")
