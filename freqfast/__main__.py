"""The program: `freqfast`, and `python -m freqfast`."""

import signal


def main() -> None:
    """Run the command line. Until a command has its own answer to it, Ctrl-C ends the program without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from freqfast.cli.main import main as run_command

    run_command()


if __name__ == "__main__":
    main()
